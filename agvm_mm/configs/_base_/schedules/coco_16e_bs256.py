# Written by tools/python_configs.py from
# configs/_base_/schedules/coco_16e_bs256.py; do not edit.
from mmengine.config import read_base
from mmengine.optim import ConstantLR, ExponentialLR

with read_base():
    from .coco_16e import *
    from .coco_bs256 import *

param_scheduler = [
    dict(type=ConstantLR, factor=0.001, by_epoch=False, end=1000000000),
    dict(
        type=ExponentialLR,
        gamma=1.0075366885914594,
        by_epoch=False,
        begin=0,
        end=921), drops
]
schedule_source = dict(epochs='paper', warmup='official', drops='official')
