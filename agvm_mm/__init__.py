"""AGVM, the Adaptive Gradient Variance Modulator, for MMEngine.

Importing this package registers ``AGVMOptimWrapper``, ``AGVMAmpOptimWrapper``,
``AGVMOptimWrapperConstructor`` and what keeps a config's total batch
(``TotalBatchSizeHook``, ``TotalBatchSampler``, ``UpdateParamSchedulerHook``)
with MMEngine. It does nothing else.
"""
from .algorithm.partition import partition_parameters
from .compat.fsdp_strategy import AGVMFSDPStrategy
from .engine.constructor import AGVMOptimWrapperConstructor
from .engine.optim_wrapper import AGVMAmpOptimWrapper, AGVMOptimWrapper
from .large_batch import (
    TotalBatchSampler,
    TotalBatchSizeHook,
    UpdateParamSchedulerHook,
)

__version__ = '0.1.0'

__all__ = [
    'AGVMAmpOptimWrapper', 'AGVMFSDPStrategy', 'AGVMOptimWrapper',
    'AGVMOptimWrapperConstructor', 'TotalBatchSampler', 'TotalBatchSizeHook',
    'UpdateParamSchedulerHook', 'partition_parameters'
]
