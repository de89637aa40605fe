# Mask R-CNN R50-FPN, AGVM + SGD, batch 512: 14 epochs, 3,220 updates.
_base_ = [
    '../_base_/pipelines/mask-rcnn_r50_fpn_coco.py',
    '../_base_/schedules/coco_14e_bs512.py',
    '../_base_/optimizers/agvm-sgd.py',
]
optim_wrapper = dict(
    optimizer=dict(lr=0.32), agvm=dict(begin=560), clip_grad_range=(360, 560))
lr_source = dict(by='official')
agvm_source = dict(begin='official', clip='official')
reported = dict(paper='33.9 mask mAP', official='34.6 mask mAP, 16 epochs')
