# Written by tools/python_configs.py from
# configs/_base_/digits/runtime_epochs.py; do not edit.
from mmdet.engine import DetVisualizationHook
from mmengine.config import read_base
from mmengine.hooks import (
    CheckpointHook,
    DistSamplerSeedHook,
    IterTimerHook,
    LoggerHook,
    ParamSchedulerHook,
)

with read_base():
    from ..mmdet.default_runtime import *
    from .cpu import *

default_hooks = dict(
    timer=dict(type=IterTimerHook),
    logger=dict(type=LoggerHook, interval=10),
    param_scheduler=dict(type=ParamSchedulerHook),
    checkpoint=dict(type=CheckpointHook, interval=4, max_keep_ckpts=2),
    sampler_seed=dict(type=DistSamplerSeedHook),
    visualization=dict(type=DetVisualizationHook))
