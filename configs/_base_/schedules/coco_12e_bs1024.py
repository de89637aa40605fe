# 12 epochs at batch 1024: 115 updates each, 1,380 in all.
_base_ = './coco_12e.py'
total_batch_size = 1024
param_scheduler = [
    # 2 epochs of exponential warm-up: from a thousandth ...
    dict(type='ConstantLR', factor=1e-3, by_epoch=False, end=10**9),
    # ... to the full learning rate at update 230.
    dict(
        type='ExponentialLR',
        gamma=1000**(1 / 230),
        by_epoch=False,
        begin=0,
        end=231),
    dict(type='MultiStepLR', by_epoch=True, milestones=[8, 11], gamma=0.1),
]
schedule_source = dict(
    epochs='paper (Faster R-CNN)',
    warmup='ours: 2 epochs, as the official code',
    drops="mmdet's 1x")
