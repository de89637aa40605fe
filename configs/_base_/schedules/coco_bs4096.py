# Batch 4,096: 29 updates an epoch.
total_batch_size = 4096
warmup = [
    # 2 epochs, exponential: from a thousandth ...
    dict(type='ConstantLR', factor=1e-3, by_epoch=False, end=10**9),
    # ... to the full learning rate at update 58.
    dict(
        type='ExponentialLR',
        gamma=1000**(1 / 58),
        by_epoch=False,
        begin=0,
        end=59),
]
