# Written by tools/python_configs.py from
# configs/_base_/schedules/coco_bs10240.py; do not edit.
from mmengine.optim import ConstantLR, ExponentialLR

total_batch_size = 10240
warmup = [
    dict(type=ConstantLR, factor=0.001, by_epoch=False, end=1000000000),
    dict(
        type=ExponentialLR,
        gamma=1.333521432163324,
        by_epoch=False,
        begin=0,
        end=25)
]
