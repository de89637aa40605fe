# Batch 256: 459 updates an epoch.
total_batch_size = 256
warmup = [
    # As official, 2 epochs and 2 updates, exponential: from a thousandth ...
    dict(type='ConstantLR', factor=1e-3, by_epoch=False, end=10**9),
    # ... to the full learning rate at update 920.
    dict(
        type='ExponentialLR',
        gamma=1000**(1 / 920),
        by_epoch=False,
        begin=0,
        end=921),
]
