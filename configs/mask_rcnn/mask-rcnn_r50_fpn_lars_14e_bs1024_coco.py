# Mask R-CNN R50-FPN, LARS, batch 1024: 14 epochs, 1,610 updates.
_base_ = [
    '../_base_/pipelines/mask-rcnn_r50_fpn_coco.py',
    '../_base_/schedules/coco_14e_bs1024.py',
    '../_base_/optimizers/lars.py',
]
# lr: square-root rule from 0.32 at 512 (SGD, official).
optim_wrapper = dict(optimizer=dict(lr=0.32 * (1024 / 512)**0.5))
lr_source = dict(by='SGD, official', lr=0.32, batch=512)
reported = dict(paper='25.1 mask mAP')
