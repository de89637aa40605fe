# Written by tools/python_configs.py from
# configs/_base_/schedules/coco_bs4096.py; do not edit.
from mmengine.optim import ConstantLR, ExponentialLR

total_batch_size = 4096
warmup = [
    dict(type=ConstantLR, factor=0.001, by_epoch=False, end=1000000000),
    dict(
        type=ExponentialLR,
        gamma=1.1264816923358862,
        by_epoch=False,
        begin=0,
        end=59)
]
