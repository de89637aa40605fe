# 10,000 updates at batch 512.
_base_ = './ade20k.py'
total_batch_size = 512
train_cfg = dict(type='IterBasedTrainLoop', max_iters=10000, val_interval=1000)
default_hooks = dict(checkpoint=dict(interval=1000))
param_scheduler = [
    # The full learning rate from update 500 on.
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=501),
    dict(
        type='PolyLR',
        by_epoch=False,
        begin=500,
        end=10000,
        power=1.0,
        eta_min=0.0),
]
schedule_source = dict(
    epochs='paper (Semantic FPN)',
    warmup='ours: a twentieth of the updates',
    drops='mmseg')
