# The reference: batch 32, mmdet's warm-up of 500 updates.
total_batch_size = 32
warmup = [
    # The full learning rate from update 500 on.
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=501),
]
