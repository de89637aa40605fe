# Written by tools/python_configs.py from
# configs/_base_/schedules/coco_12e_bs10240.py; do not edit.
from mmengine.config import read_base
from mmengine.optim import ConstantLR, ExponentialLR

with read_base():
    from .coco_12e import *
    from .coco_bs10240 import *

param_scheduler = [
    dict(type=ConstantLR, factor=0.001, by_epoch=False, end=1000000000),
    dict(
        type=ExponentialLR,
        gamma=1.333521432163324,
        by_epoch=False,
        begin=0,
        end=25), drops
]
schedule_source = dict(
    epochs="ours: as the paper's Faster R-CNN with AdamW",
    warmup='ours: 2 epochs, as the official code',
    drops="mmdet's 1x")
