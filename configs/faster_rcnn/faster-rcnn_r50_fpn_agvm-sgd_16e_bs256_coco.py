# Faster R-CNN R50-FPN, AGVM + SGD, batch 256: 16 epochs, 7,344 updates.
_base_ = [
    '../_base_/pipelines/faster-rcnn_r50_fpn_coco.py',
    '../_base_/schedules/coco_16e_bs256.py',
    '../_base_/optimizers/agvm-sgd.py',
]
optim_wrapper = dict(
    optimizer=dict(lr=0.16 * 2**0.5),
    agvm=dict(begin=1020),
    clip_grad_range=(820, 1020))
lr_source = dict(by='official')
agvm_source = dict(begin='official', clip='official')
reported = dict(
    paper='36.7 box mAP; best rival 36.5 (SAM)', official='37.1 box mAP')
