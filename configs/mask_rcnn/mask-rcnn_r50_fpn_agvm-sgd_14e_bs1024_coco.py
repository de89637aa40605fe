# Mask R-CNN R50-FPN, AGVM + SGD, batch 1024: 14 epochs, 1,610 updates.
_base_ = [
    '../_base_/pipelines/mask-rcnn_r50_fpn_coco.py',
    '../_base_/schedules/coco_14e_bs1024.py',
    '../_base_/optimizers/agvm-sgd.py',
]
# lr: square-root rule from 0.32 at 512 (official).
optim_wrapper = dict(
    optimizer=dict(lr=0.32 * (1024 / 512)**0.5),
    agvm=dict(begin=330),
    clip_grad_range=(130, 330))
lr_source = dict(by='official', lr=0.32, batch=512)
reported = dict(paper='32.6 mask mAP; LARS 25.1, MegDet NaN')
