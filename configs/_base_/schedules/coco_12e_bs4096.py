# 12 epochs at batch 4096: 29 updates each, 348 in all.
_base_ = './coco_12e.py'
total_batch_size = 4096
param_scheduler = [
    # 2 epochs of exponential warm-up: from a thousandth ...
    dict(type='ConstantLR', factor=1e-3, by_epoch=False, end=10**9),
    # ... to the full learning rate at update 58.
    dict(
        type='ExponentialLR',
        gamma=1000**(1 / 58),
        by_epoch=False,
        begin=0,
        end=59),
    dict(type='MultiStepLR', by_epoch=True, milestones=[8, 11], gamma=0.1),
]
schedule_source = dict(
    epochs="ours: as the paper's Faster R-CNN with AdamW",
    warmup='ours: 2 epochs, as the official code',
    drops="mmdet's 1x")
