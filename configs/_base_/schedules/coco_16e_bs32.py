# 16 epochs at batch 32: 3,665 updates each, 58,640 in all.
_base_ = './coco_16e.py'
total_batch_size = 32
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=501),
    dict(type='MultiStepLR', by_epoch=True, milestones=[12, 14], gamma=0.1),
]
schedule_source = dict(
    epochs='paper', warmup="ours: mmdet's 500 updates", drops='official')
