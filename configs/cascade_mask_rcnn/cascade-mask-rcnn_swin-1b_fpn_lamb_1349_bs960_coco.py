# Cascade Mask R-CNN, 1e9 parameters, LAMB, batch 960: 1,349 updates.
_base_ = [
    '../_base_/pipelines/cascade-mask-rcnn_swin-1b_fpn_coco.py',
    '../_base_/schedules/coco_1349_bs960.py',
    '../_base_/optimizers/lamb.py',
]
# lr: square-root rule from 5e-3 at 512 (You et al. 2020, ImageNet).
optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='float16',
    optimizer=dict(lr=5e-3 * (960 / 512)**0.5))
lr_source = dict(by='You et al. 2020, ImageNet', lr=5e-3, batch=512)
# Their ratios are of whole tensors, which FSDP shards: plain DDP.
runner_type = 'TotalBatchRunner'
strategy = None
