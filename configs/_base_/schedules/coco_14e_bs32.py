# 14 epochs at batch 32: 3,665 updates each, 51,310 in all.
_base_ = './coco_14e.py'
total_batch_size = 32
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=501),
    dict(type='MultiStepLR', by_epoch=True, milestones=[10, 12], gamma=0.1),
]
schedule_source = dict(
    epochs='paper',
    warmup="ours: mmdet's 500 updates",
    drops='ours: 4 and 2 epochs before the end, as the official 16')
