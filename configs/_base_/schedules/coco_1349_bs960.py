# 1,349 updates at batch 960 (paper), 11 epochs.
total_batch_size = 960
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1349, val_interval=123)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    # 2 epochs of exponential warm-up: from a thousandth ...
    dict(type='ConstantLR', factor=1e-3, by_epoch=False, end=10**9),
    # ... to the full learning rate at update 246.
    dict(
        type='ExponentialLR',
        gamma=1000**(1 / 246),
        by_epoch=False,
        begin=0,
        end=247),
    dict(
        type='MultiStepLR',
        by_epoch=False,
        begin=0,
        end=1349,
        milestones=[899, 1237],
        gamma=0.1),
]
schedule_source = dict(
    epochs='paper',
    warmup='ours: 2 epochs, as the official code',
    drops="ours: at 8/12 and 11/12 of the updates, mmdet's 1x")
