# 10,000 updates at batch 512.
_base_ = './ade20k.py'
total_batch_size = 512
train_cfg = dict(type='IterBasedTrainLoop', max_iters=10000, val_interval=1000)
default_hooks = dict(checkpoint=dict(interval=1000))
param_scheduler = [
    # The full learning rate from update 500 on.
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=501),
    dict(_base_.decay, begin=500, end=10000),
]
schedule_source = dict(warmup='ours: a twentieth of the updates')
