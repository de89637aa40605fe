# 5,000 updates at batch 1024.
_base_ = './ade20k.py'
total_batch_size = 1024
train_cfg = dict(type='IterBasedTrainLoop', max_iters=5000, val_interval=500)
default_hooks = dict(checkpoint=dict(interval=500))
param_scheduler = [
    # The full learning rate from update 250 on.
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=251),
    dict(
        type='PolyLR',
        by_epoch=False,
        begin=250,
        end=5000,
        power=0.9,
        eta_min=0.0),
]
schedule_source = dict(
    epochs='paper (Semantic FPN)',
    warmup='ours: a twentieth of the updates',
    drops='power: mmseg; ours: to 0')
