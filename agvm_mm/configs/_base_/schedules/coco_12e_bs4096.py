# Written by tools/python_configs.py from
# configs/_base_/schedules/coco_12e_bs4096.py; do not edit.
from mmengine.config import read_base
from mmengine.optim import ConstantLR, ExponentialLR

with read_base():
    from .coco_12e import *
    from .coco_bs4096 import *

param_scheduler = [
    dict(type=ConstantLR, factor=0.001, by_epoch=False, end=1000000000),
    dict(
        type=ExponentialLR,
        gamma=1.1264816923358862,
        by_epoch=False,
        begin=0,
        end=59), drops
]
schedule_source = dict(
    epochs="ours: as the paper's Faster R-CNN with AdamW",
    warmup='ours: 2 epochs, as the official code',
    drops="mmdet's 1x")
