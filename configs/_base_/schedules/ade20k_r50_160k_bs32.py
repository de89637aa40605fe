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
    dict(_base_.decay, begin=1500, end=160000),
]
schedule_source = dict(warmup='mmseg (Swin)')
