# Written by tools/python_configs.py from
# configs/_base_/schedules/coco_12e_bs512.py; do not edit.
from mmengine.config import read_base
from mmengine.optim import ConstantLR, ExponentialLR

with read_base():
    from .coco_12e import *
    from .coco_bs512 import *

param_scheduler = [
    dict(type=ConstantLR, factor=0.001, by_epoch=False, end=1000000000),
    dict(
        type=ExponentialLR,
        gamma=1.0151301788578433,
        by_epoch=False,
        begin=0,
        end=461), drops
]
schedule_source = dict(
    epochs='paper (Faster R-CNN)',
    warmup='ours: as the official SGD configs',
    drops="mmdet's 1x")
