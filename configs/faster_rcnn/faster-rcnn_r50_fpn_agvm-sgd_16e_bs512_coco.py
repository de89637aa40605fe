# Faster R-CNN R50-FPN, AGVM + SGD, batch 512: 16 epochs, 3,680 updates.
_base_ = [
    '../_base_/pipelines/faster-rcnn_r50_fpn_coco.py',
    '../_base_/schedules/coco_16e_bs512.py',
    '../_base_/optimizers/agvm-sgd.py',
]
optim_wrapper = dict(
    optimizer=dict(lr=0.38), agvm=dict(begin=560), clip_grad_range=(360, 560))
lr_source = dict(by='official')
agvm_source = dict(begin='official', clip='official')
reported = dict(paper='36.7 box mAP; best rival 35.3', official='36.8 box mAP')
