"""Micro-batches of unequal size, for PyTorch's dataloader."""
from __future__ import annotations

from typing import Iterator

from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from .micro_batches import loss_weights
from .sampler import TotalBatchSampler


@DATA_SAMPLERS.register_module()
class MicroBatchSampler(Sampler):
    """Hands out the micro-batches of a :class:`TotalBatchSampler`.

    A dataloader's own batches are all of one size, which the samples of an
    update are not where the processes do not divide them.
    :func:`~agvm_mm.large_batch.resolve` puts it into a config, and takes it
    out again where they do. MMEngine gives it both arguments.

    Args:
        sampler (TotalBatchSampler): Of the dataloader.
        batch_size (int): Samples of the largest micro-batch.

    Attributes:
        weights (list[float]): What to multiply the losses of this rank's
            micro-batches of an update by, in their order; see
            :func:`~agvm_mm.large_batch.micro_batches.loss_weights`.
    """

    def __init__(self, sampler: TotalBatchSampler, batch_size: int) -> None:
        self.sampler = sampler
        self.batch_size = batch_size
        weights = loss_weights(sampler.sizes)
        self.weights = weights[sampler.rank::sampler.world_size]

    def __iter__(self) -> Iterator[list[int]]:
        """The samples of this rank, one list a micro-batch."""
        return self.sampler.micro_batches()

    def __len__(self) -> int:
        """The micro-batches of this rank in one epoch."""
        return self.sampler.updates * len(self.weights)
