# Panoptic FPN R50, SGD, batch 32: 14 epochs, 51,310 updates.
_base_ = [
    '../_base_/pipelines/panoptic-fpn_r50_fpn_coco.py',
    '../_base_/schedules/coco_14e_bs32.py',
    '../_base_/optimizers/sgd.py',
]
# lr: square-root rule from 0.16 * 2**0.5 at 256 (official, Mask R-CNN).
optim_wrapper = dict(optimizer=dict(lr=0.16 * 2**0.5 * (32 / 256)**0.5))
lr_source = dict(by='official, Mask R-CNN', lr=0.16 * 2**0.5, batch=256)
reported = dict(paper='38.9 PQ')
