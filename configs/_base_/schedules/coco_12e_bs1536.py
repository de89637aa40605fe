# 12 epochs at batch 1536: 77 updates each, 924 in all.
_base_ = './coco_12e.py'
total_batch_size = 1536
param_scheduler = [
    # 2 epochs of exponential warm-up: from a thousandth ...
    dict(type='ConstantLR', factor=1e-3, by_epoch=False, end=10**9),
    # ... to the full learning rate at update 154.
    dict(
        type='ExponentialLR',
        gamma=1000**(1 / 154),
        by_epoch=False,
        begin=0,
        end=155),
    dict(type='MultiStepLR', by_epoch=True, milestones=[8, 11], gamma=0.1),
]
schedule_source = dict(
    epochs='paper (Faster R-CNN)',
    warmup='ours: 2 epochs, as the official code',
    drops="mmdet's 1x")
