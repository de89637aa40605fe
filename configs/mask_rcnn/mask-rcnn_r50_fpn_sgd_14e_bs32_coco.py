# Mask R-CNN R50-FPN, SGD, batch 32: 14 epochs, 51,310 updates.
_base_ = [
    '../_base_/pipelines/mask-rcnn_r50_fpn_coco.py',
    '../_base_/schedules/coco_14e_bs32.py',
    '../_base_/optimizers/sgd.py',
]
# lr: square-root rule from 0.16 * 2**0.5 at 256 (official).
optim_wrapper = dict(optimizer=dict(lr=0.16 * 2**0.5 * (32 / 256)**0.5))
lr_source = dict(by='official', lr=0.16 * 2**0.5, batch=256)
reported = dict(paper='33.9 mask mAP', official='34.8 mask mAP, 16 epochs')
