# Faster R-CNN R50-FPN, AGVM + AdamW, batch 512: 12 epochs, 2,760 updates.
_base_ = [
    '../_base_/pipelines/faster-rcnn_r50_fpn_coco.py',
    '../_base_/schedules/coco_12e_bs512.py',
    '../_base_/optimizers/agvm-adamw.py',
]
# lr: square-root rule from 1e-4 at 16 (mmdet, Swin).
optim_wrapper = dict(
    optimizer=dict(lr=1e-4 * (512 / 16)**0.5), agvm=dict(begin=560))
lr_source = dict(by='mmdet, Swin', lr=1e-4, batch=16)
reported = dict(paper='36.8 box mAP')
