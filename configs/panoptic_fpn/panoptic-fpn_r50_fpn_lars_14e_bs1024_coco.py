# Panoptic FPN R50, LARS, batch 1024: 14 epochs, 1,610 updates.
_base_ = [
    '../_base_/pipelines/panoptic-fpn_r50_fpn_coco.py',
    '../_base_/schedules/coco_14e_bs1024.py',
    '../_base_/optimizers/lars.py',
]
# lr: square-root rule from 0.32 at 512 (SGD, official, Mask R-CNN).
optim_wrapper = dict(optimizer=dict(lr=0.32 * (1024 / 512)**0.5))
lr_source = dict(by='SGD, official, Mask R-CNN', lr=0.32, batch=512)
