# Written by tools/python_configs.py from
# configs/_base_/schedules/ade20k.py; do not edit.
from mmengine.hooks import (
    CheckpointHook,
    DistSamplerSeedHook,
    IterTimerHook,
    LoggerHook,
    ParamSchedulerHook,
)
from mmengine.optim import PolyLR
from mmengine.runner import TestLoop, ValLoop
from mmseg.engine import SegVisualizationHook

val_cfg = dict(type=ValLoop)
test_cfg = dict(type=TestLoop)
default_hooks = dict(
    timer=dict(type=IterTimerHook),
    logger=dict(type=LoggerHook, interval=10, log_metric_by_epoch=False),
    param_scheduler=dict(type=ParamSchedulerHook),
    checkpoint=dict(type=CheckpointHook, by_epoch=False, max_keep_ckpts=2),
    sampler_seed=dict(type=DistSamplerSeedHook),
    visualization=dict(type=SegVisualizationHook))
decay = dict(type=PolyLR, by_epoch=False, power=0.9, eta_min=0.0)
schedule_source = dict(
    epochs='paper (Semantic FPN)', drops='power: mmseg; ours: to 0')
