# Panoptic FPN R50, AGVM + SGD, batch 1024: 14 epochs, 1,610 updates.
_base_ = [
    '../_base_/pipelines/panoptic-fpn_r50_fpn_coco.py',
    '../_base_/schedules/coco_14e_bs1024.py',
    '../_base_/optimizers/agvm-sgd.py',
]
# lr: square-root rule from 0.32 at 512 (official, Mask R-CNN).
optim_wrapper = dict(
    optimizer=dict(lr=0.32 * (1024 / 512)**0.5),
    agvm=dict(begin=330),
    clip_grad_range=(130, 330))
lr_source = dict(by='official, Mask R-CNN', lr=0.32, batch=512)
reported = dict(paper='38.8 PQ; MegDet and SAM NaN')
