# Written by tools/python_configs.py from
# configs/_base_/schedules/coco_bs256.py; do not edit.
from mmengine.optim import ConstantLR, ExponentialLR

total_batch_size = 256
warmup = [
    dict(type=ConstantLR, factor=0.001, by_epoch=False, end=1000000000),
    dict(
        type=ExponentialLR,
        gamma=1.0075366885914594,
        by_epoch=False,
        begin=0,
        end=921)
]
