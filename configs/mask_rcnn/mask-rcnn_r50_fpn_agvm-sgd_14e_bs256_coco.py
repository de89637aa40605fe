# Mask R-CNN R50-FPN, AGVM + SGD, batch 256: 14 epochs, 6,426 updates.
_base_ = [
    '../_base_/pipelines/mask-rcnn_r50_fpn_coco.py',
    '../_base_/schedules/coco_14e_bs256.py',
    '../_base_/optimizers/agvm-sgd.py',
]
optim_wrapper = dict(
    optimizer=dict(lr=0.16 * 2**0.5),
    agvm=dict(begin=1020),
    clip_grad_range=(820, 1020))
lr_source = dict(by='official')
agvm_source = dict(begin='official', clip='official')
reported = dict(paper='34.1 mask mAP', official='35.0 mask mAP, 16 epochs')
