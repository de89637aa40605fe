# 5,000 updates at batch 1,024.
_base_ = './ade20k.py'
total_batch_size = 1024
train_cfg = dict(type='IterBasedTrainLoop', max_iters=5000, val_interval=500)
default_hooks = dict(checkpoint=dict(interval=500))
param_scheduler = [
    # The full learning rate from update 250 on.
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=251),
    dict(_base_.decay, begin=250, end=5000),
]
schedule_source = dict(warmup='ours: a twentieth of the updates')
