# Faster R-CNN R50-FPN, AGVM + AdamW, batch 1536: 12 epochs, 924 updates.
_base_ = [
    '../_base_/pipelines/faster-rcnn_r50_fpn_coco.py',
    '../_base_/schedules/coco_12e_bs1536.py',
    '../_base_/optimizers/agvm-adamw.py',
]
# lr: square-root rule from 1e-4 at 16 (mmdet, Swin).
optim_wrapper = dict(
    optimizer=dict(lr=1e-4 * (1536 / 16)**0.5),
    agvm=dict(begin=254, interval=5))
lr_source = dict(by='mmdet, Swin', lr=1e-4, batch=16)
reported = dict(paper='36.6 box mAP, in 4.2 min on 768 A100')
