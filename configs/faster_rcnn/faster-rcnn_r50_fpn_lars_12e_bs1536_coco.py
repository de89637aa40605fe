# Faster R-CNN R50-FPN, LARS, batch 1536: 12 epochs, 924 updates.
_base_ = [
    '../_base_/pipelines/faster-rcnn_r50_fpn_coco.py',
    '../_base_/schedules/coco_12e_bs1536.py',
    '../_base_/optimizers/lars.py',
]
# lr: square-root rule from 0.38 at 512 (SGD, official).
optim_wrapper = dict(optimizer=dict(lr=0.38 * (1536 / 512)**0.5))
lr_source = dict(by='SGD, official', lr=0.38, batch=512)
