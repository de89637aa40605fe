# 12 epochs at batch 32: 3,665 updates each, 43,980 in all.
_base_ = './coco_12e.py'
total_batch_size = 32
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=501),
    dict(type='MultiStepLR', by_epoch=True, milestones=[8, 11], gamma=0.1),
]
schedule_source = dict(
    epochs='paper (Faster R-CNN)',
    warmup="ours: mmdet's 500 updates",
    drops="mmdet's 1x")
