# Written by tools/python_configs.py from
# configs/_base_/schedules/ade20k_swin-t_160k_bs32.py; do not edit.
from mmengine.config import read_base
from mmengine.optim import LinearLR, PolyLR

with read_base():
    from .ade20k_r50_160k_bs32 import *

schedule_source = dict(
    epochs='paper (Semantic FPN)', drops='mmseg, Swin', warmup='mmseg (Swin)')
param_scheduler = [
    dict(type=LinearLR, start_factor=0.001, by_epoch=False, begin=0, end=1501),
    dict(
        type=PolyLR,
        by_epoch=False,
        power=1.0,
        eta_min=0.0,
        begin=1500,
        end=160000)
]
