"""A config's total batch, on the processes at hand."""
from .hooks import TotalBatchSizeHook, UpdateParamSchedulerHook
from .rules import linear_lr, square_root_lr, updates_per_epoch
from .sampler import TotalBatchSampler
from .total_batch import resolve, split_batch

__all__ = [
    'TotalBatchSampler', 'TotalBatchSizeHook', 'UpdateParamSchedulerHook',
    'linear_lr', 'resolve', 'split_batch', 'square_root_lr',
    'updates_per_epoch'
]
