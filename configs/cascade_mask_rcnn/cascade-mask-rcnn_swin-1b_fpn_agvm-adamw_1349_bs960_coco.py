# Cascade Mask R-CNN, 1e9 parameters, AGVM + AdamW, batch 960: 1,349 updates.
_base_ = [
    '../_base_/pipelines/cascade-mask-rcnn_swin-1b_fpn_coco.py',
    '../_base_/schedules/coco_1349_bs960.py',
    '../_base_/optimizers/agvm-adamw.py',
]
# lr: square-root rule from 1e-4 at 16 (mmdet, Swin).
optim_wrapper = dict(
    type='AGVMAmpOptimWrapper',
    dtype='float16',
    use_fsdp=True,
    optimizer=dict(lr=1e-4 * (960 / 16)**0.5),
    agvm=dict(begin=346))
lr_source = dict(by='mmdet, Swin', lr=1e-4, batch=16)
reported = dict(paper='62.2 box, 53.4 mask mAP (UniNet-G)')
