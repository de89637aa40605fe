# Written by tools/python_configs.py from
# configs/_base_/schedules/ade20k_r50_5k_bs1024.py; do not edit.
from mmengine.config import read_base
from mmengine.hooks import (
    CheckpointHook,
    DistSamplerSeedHook,
    IterTimerHook,
    LoggerHook,
    ParamSchedulerHook,
)
from mmengine.optim import LinearLR, PolyLR
from mmengine.runner import IterBasedTrainLoop
from mmseg.engine import SegVisualizationHook

with read_base():
    from .ade20k import *

default_hooks = dict(
    timer=dict(type=IterTimerHook),
    logger=dict(type=LoggerHook, interval=10, log_metric_by_epoch=False),
    param_scheduler=dict(type=ParamSchedulerHook),
    checkpoint=dict(
        type=CheckpointHook, by_epoch=False, max_keep_ckpts=2, interval=500),
    sampler_seed=dict(type=DistSamplerSeedHook),
    visualization=dict(type=SegVisualizationHook))
schedule_source = dict(
    epochs='paper (Semantic FPN)',
    drops='power: mmseg; ours: to 0',
    warmup='ours: a twentieth of the updates')
total_batch_size = 1024
train_cfg = dict(type=IterBasedTrainLoop, max_iters=5000, val_interval=500)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.001, by_epoch=False, begin=0, end=251),
    dict(
        type=PolyLR,
        by_epoch=False,
        power=0.9,
        eta_min=0.0,
        begin=250,
        end=5000)
]
