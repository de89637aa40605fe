# 2,500 updates at batch 2,048.
_base_ = './ade20k.py'
total_batch_size = 2048
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2500, val_interval=250)
default_hooks = dict(checkpoint=dict(interval=250))
param_scheduler = [
    # The full learning rate from update 125 on.
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=126),
    dict(_base_.decay, begin=125, end=2500),
]
schedule_source = dict(warmup='ours: a twentieth of the updates')
