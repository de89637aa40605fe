# Written by tools/python_configs.py from
# configs/_base_/schedules/ade20k_swin-t_2500_bs2048.py; do not edit.
from mmengine.config import read_base
from mmengine.optim import LinearLR, PolyLR

with read_base():
    from .ade20k_r50_2500_bs2048 import *

schedule_source = dict(
    epochs='paper (Semantic FPN)',
    drops='mmseg, Swin',
    warmup='ours: a twentieth of the updates')
param_scheduler = [
    dict(type=LinearLR, start_factor=0.001, by_epoch=False, begin=0, end=126),
    dict(
        type=PolyLR,
        by_epoch=False,
        power=1.0,
        eta_min=0.0,
        begin=125,
        end=2500)
]
