"""AGVM, the Adaptive Gradient Variance Modulator, for MMEngine.

Importing this package registers ``AGVMOptimWrapper``, ``AGVMAmpOptimWrapper``,
``AGVMOptimWrapperConstructor``, ``AGVMFSDPStrategy`` and what keeps a config's
total batch (``TotalBatchRunner``, ``TotalBatchFlexibleRunner``,
``TotalBatchSizeHook``, ``TotalBatchSampler``, ``UpdateParamSchedulerHook``)
and what lets a run be cut (``PreemptionHook``, ``SafeCheckpointHook``,
``ResumedEarlyStoppingHook``, ``WatchdogHook``) with MMEngine. It does nothing
else.
"""
from .algorithm.partition import partition_parameters
from .compat.fsdp_strategy import AGVMFSDPStrategy
from .engine.constructor import AGVMOptimWrapperConstructor
from .engine.optim_wrapper import AGVMAmpOptimWrapper, AGVMOptimWrapper
from .engine.runner import TotalBatchFlexibleRunner, TotalBatchRunner
from .hub import register_configs
from .large_batch import (
    TotalBatchSampler,
    TotalBatchSizeHook,
    UpdateParamSchedulerHook,
)
from .recovery.checkpoint_hook import SafeCheckpointHook
from .recovery.early_stopping import ResumedEarlyStoppingHook
from .recovery.preemption import PreemptionHook
from .recovery.watchdog import WatchdogHook

__version__ = '0.1.0'

__all__ = [
    'AGVMAmpOptimWrapper', 'AGVMFSDPStrategy', 'AGVMOptimWrapper',
    'AGVMOptimWrapperConstructor', 'PreemptionHook',
    'ResumedEarlyStoppingHook', 'SafeCheckpointHook',
    'TotalBatchFlexibleRunner', 'TotalBatchRunner', 'TotalBatchSampler',
    'TotalBatchSizeHook', 'UpdateParamSchedulerHook', 'WatchdogHook',
    'partition_parameters', 'register_configs'
]
