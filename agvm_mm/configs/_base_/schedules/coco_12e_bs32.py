# Written by tools/python_configs.py from
# configs/_base_/schedules/coco_12e_bs32.py; do not edit.
from mmengine.config import read_base
from mmengine.optim import LinearLR

with read_base():
    from .coco_12e import *
    from .coco_bs32 import *

param_scheduler = [
    dict(type=LinearLR, start_factor=0.001, by_epoch=False, begin=0, end=501),
    drops
]
schedule_source = dict(
    epochs='paper (Faster R-CNN)',
    warmup="ours: mmdet's 500 updates",
    drops="mmdet's 1x")
