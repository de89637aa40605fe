# Cascade Mask R-CNN, 1e9 parameters, LARS, batch 960: 1,349 updates.
_base_ = [
    '../_base_/pipelines/cascade-mask-rcnn_swin-1b_fpn_coco.py',
    '../_base_/schedules/coco_1349_bs960.py',
    '../_base_/optimizers/lars.py',
]
# lr: square-root rule from 0.38 at 512 (SGD, official, Faster R-CNN).
optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='float16',
    optimizer=dict(lr=0.38 * (960 / 512)**0.5))
lr_source = dict(by='SGD, official, Faster R-CNN', lr=0.38, batch=512)
# Their ratios are of whole tensors, which FSDP shards: plain DDP.
runner_type = 'TotalBatchRunner'
strategy = None
