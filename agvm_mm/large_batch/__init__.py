"""A config's total batch, on the processes at hand."""
from .another_batch import at_batch
from .batch_sampler import MicroBatchSampler
from .hooks import TotalBatchSizeHook, UpdateEMAHook, UpdateParamSchedulerHook
from .launch import resolve_here, world_size
from .loops import TotalBatchEpochLoop, TotalBatchIterLoop
from .loss_weights import LossWeightHook
from .plan import updates_per_epoch
from .probe.find import find_samples
from .rules import (
    AdamRule,
    CountRule,
    DecayRule,
    EMARule,
    LinearRule,
    SquareRootRule,
    linear_lr,
    square_root_lr,
)
from .sampler import TotalBatchSampler
from .seeded_updates import SeededUpdatesHook
from .split import split_batch
from .total_batch import resolve
from .warmup import auto_begin, warm_up_updates

__all__ = [
    'AdamRule', 'CountRule', 'DecayRule', 'EMARule', 'LinearRule',
    'LossWeightHook', 'MicroBatchSampler', 'SeededUpdatesHook',
    'SquareRootRule', 'TotalBatchEpochLoop', 'TotalBatchIterLoop',
    'TotalBatchSampler', 'TotalBatchSizeHook', 'UpdateEMAHook',
    'UpdateParamSchedulerHook', 'at_batch', 'auto_begin', 'find_samples',
    'linear_lr', 'resolve', 'resolve_here', 'split_batch', 'square_root_lr',
    'updates_per_epoch', 'warm_up_updates', 'world_size'
]
