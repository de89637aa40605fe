# 160,000 updates at batch 32.
_base_ = './ade20k.py'
total_batch_size = 32
train_cfg = dict(
    type='IterBasedTrainLoop', max_iters=160000, val_interval=16000)
default_hooks = dict(checkpoint=dict(interval=16000))
param_scheduler = [
    # The full learning rate from update 1500 on.
    dict(
        type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=1501),
    dict(
        type='PolyLR',
        by_epoch=False,
        begin=1500,
        end=160000,
        power=0.9,
        eta_min=0.0),
]
schedule_source = dict(
    epochs='paper (Semantic FPN)',
    warmup='mmseg (Swin)',
    drops='power: mmseg; ours: to 0')
