# Batch 1,024: 115 updates an epoch.
total_batch_size = 1024
warmup = [
    # 2 epochs, exponential: from a thousandth ...
    dict(type='ConstantLR', factor=1e-3, by_epoch=False, end=10**9),
    # ... to the full learning rate at update 230.
    dict(
        type='ExponentialLR',
        gamma=1000**(1 / 230),
        by_epoch=False,
        begin=0,
        end=231),
]
