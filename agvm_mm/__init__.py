"""AGVM, the Adaptive Gradient Variance Modulator, for MMEngine.

Importing this package registers ``AGVMOptimWrapper``, ``AGVMAmpOptimWrapper``,
``AGVMOptimWrapperConstructor``, and what keeps a config's total batch
(``TotalBatchRunner``, ``TotalBatchFlexibleRunner``, ``TotalBatchSizeHook``,
``TotalBatchSampler``, ``UpdateParamSchedulerHook``) with MMEngine, lets
MMEngine's own checkpoints load under torch's safe loader, and its schedules go
on from a checkpoint whose optimizer had other groups.
"""
from .algorithm.partition import partition_parameters
from .compat.checkpoint import allow_mmengine_checkpoints
from .compat.fsdp_strategy import AGVMFSDPStrategy
from .compat.schedulers import resume_schedules_by_group
from .engine.constructor import AGVMOptimWrapperConstructor
from .engine.optim_wrapper import AGVMAmpOptimWrapper, AGVMOptimWrapper
from .engine.runner import TotalBatchFlexibleRunner, TotalBatchRunner
from .large_batch import (
    TotalBatchSampler,
    TotalBatchSizeHook,
    UpdateParamSchedulerHook,
)

__version__ = '0.1.0'

__all__ = [
    'AGVMAmpOptimWrapper', 'AGVMFSDPStrategy', 'AGVMOptimWrapper',
    'AGVMOptimWrapperConstructor', 'TotalBatchFlexibleRunner',
    'TotalBatchRunner', 'TotalBatchSampler', 'TotalBatchSizeHook',
    'UpdateParamSchedulerHook', 'partition_parameters'
]

allow_mmengine_checkpoints()
resume_schedules_by_group()
