"""AGVM, the Adaptive Gradient Variance Modulator, for MMEngine.

Importing this package registers ``AGVMOptimWrapper``, ``AGVMAmpOptimWrapper``
and ``AGVMOptimWrapperConstructor`` with MMEngine, and lets MMEngine's own
checkpoints load under torch's safe loader.
"""
from .checkpoint import allow_mmengine_checkpoints
from .constructor import AGVMOptimWrapperConstructor
from .optim_wrapper import AGVMAmpOptimWrapper, AGVMOptimWrapper
from .partition import partition_parameters

__version__ = '0.1.0'

__all__ = [
    'AGVMAmpOptimWrapper', 'AGVMOptimWrapper', 'AGVMOptimWrapperConstructor',
    'partition_parameters'
]

allow_mmengine_checkpoints()
