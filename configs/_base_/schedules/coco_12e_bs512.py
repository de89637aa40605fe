# 12 epochs at batch 512: 230 updates each, 2,760 in all.
_base_ = './coco_12e.py'
total_batch_size = 512
param_scheduler = [
    # 2 epochs of exponential warm-up: from a thousandth ...
    dict(type='ConstantLR', factor=1e-3, by_epoch=False, end=10**9),
    # ... to the full learning rate at update 460.
    dict(
        type='ExponentialLR',
        gamma=1000**(1 / 460),
        by_epoch=False,
        begin=0,
        end=461),
    dict(type='MultiStepLR', by_epoch=True, milestones=[8, 11], gamma=0.1),
]
schedule_source = dict(
    epochs='paper (Faster R-CNN)',
    warmup='ours: as the official SGD configs',
    drops="mmdet's 1x")
