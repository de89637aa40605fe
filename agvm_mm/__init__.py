"""AGVM, the Adaptive Gradient Variance Modulator, for MMEngine.

Importing this package registers ``AGVMOptimWrapper``, ``AGVMAmpOptimWrapper``,
``AGVMOptimWrapperConstructor`` and what keeps a config's total batch
(``TotalBatchSizeHook``, ``TotalBatchSampler``, ``UpdateParamSchedulerHook``)
with MMEngine, lets MMEngine's own checkpoints load under torch's safe loader,
and its schedules go on from a checkpoint whose optimizer had other groups.
"""
from .accumulation import TotalBatchSampler, UpdateParamSchedulerHook
from .checkpoint import allow_mmengine_checkpoints
from .constructor import AGVMOptimWrapperConstructor
from .fsdp import AGVMFSDPStrategy
from .large_batch import TotalBatchSizeHook
from .optim_wrapper import AGVMAmpOptimWrapper, AGVMOptimWrapper
from .partition import partition_parameters
from .schedulers import resume_schedules_by_group

__version__ = '0.1.0'

__all__ = [
    'AGVMAmpOptimWrapper', 'AGVMFSDPStrategy', 'AGVMOptimWrapper',
    'AGVMOptimWrapperConstructor', 'TotalBatchSampler', 'TotalBatchSizeHook',
    'UpdateParamSchedulerHook', 'partition_parameters'
]

allow_mmengine_checkpoints()
resume_schedules_by_group()
