# Batch 10,240: 12 updates an epoch.
total_batch_size = 10240
warmup = [
    # 2 epochs, exponential: from a thousandth ...
    dict(type='ConstantLR', factor=1e-3, by_epoch=False, end=10**9),
    # ... to the full learning rate at update 24.
    dict(
        type='ExponentialLR',
        gamma=1000**(1 / 24),
        by_epoch=False,
        begin=0,
        end=25),
]
