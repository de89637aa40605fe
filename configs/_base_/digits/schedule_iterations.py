# 1,024 updates at batch 16, SGD.
total_batch_size = 16
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1024, val_interval=512)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='PolyLR', by_epoch=False, begin=100, end=1024, power=0.9),
]
