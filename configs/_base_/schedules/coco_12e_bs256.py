# 12 epochs at batch 256: 459 updates each, 5,508 in all.
_base_ = './coco_12e.py'
total_batch_size = 256
param_scheduler = [
    # 920 updates, 2 epochs of exponential warm-up: from a thousandth ...
    dict(type='ConstantLR', factor=1e-3, by_epoch=False, end=10**9),
    # ... to the full learning rate at update 920.
    dict(
        type='ExponentialLR',
        gamma=1000**(1 / 920),
        by_epoch=False,
        begin=0,
        end=921),
    dict(type='MultiStepLR', by_epoch=True, milestones=[8, 11], gamma=0.1),
]
schedule_source = dict(
    epochs='paper (Faster R-CNN)',
    warmup='ours: as the official SGD configs',
    drops="mmdet's 1x")
