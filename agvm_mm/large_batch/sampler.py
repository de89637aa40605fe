"""Deals the data in whole updates.

MMEngine accumulates gradients, but it counts iterations: an epoch that is no
multiple of the accumulation ends inside an update.
"""
from __future__ import annotations

import itertools
import math
from typing import Iterator, Sized

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import Sampler


@DATA_SAMPLERS.register_module()
class TotalBatchSampler(Sampler):
    """Deals whole updates of a total batch to the processes.

    An epoch's order is cut into micro-batches of ``samples_per_gpu``, which
    are dealt to the ranks in turn. So the micro-batches of an update are the
    same however many processes share it, and an epoch holds
    ``ceil(len(dataset) / total_batch_size)`` updates, the last of them filled
    up with the first images of the epoch's order. In MMEngine's samplers the
    first does not hold, and the second does not under accumulation. On top of
    it a ``batch_sampler``, such as mmdet's ``AspectRatioBatchSampler``, keeps
    the second alone: it groups each rank's images anew.

    Args:
        dataset (Sized): The dataset.
        total_batch_size (int): Samples of one parameter update.
        samples_per_gpu (int): Samples of one micro-batch: the dataloader's
            ``batch_size``.
        endless (bool): Whether to go on from one epoch into the next without
            an end, as MMEngine's ``InfiniteSampler``. Defaults to False.
        shuffle (bool): Whether to draw a new order for every epoch. Defaults
            to True.
        seed (int, optional): Of the orders. Defaults to None, one that all
            processes agree on.
    """

    def __init__(self,
                 dataset: Sized,
                 total_batch_size: int,
                 samples_per_gpu: int,
                 endless: bool = False,
                 shuffle: bool = True,
                 seed: int | None = None) -> None:
        self.rank, self.world_size = get_dist_info()
        self.dataset = dataset
        self.samples_per_gpu = samples_per_gpu
        self.endless = endless
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0
        updates = math.ceil(len(dataset) / total_batch_size)
        self.total_size = updates * total_batch_size

    def __iter__(self) -> Iterator[int]:
        """The samples of this rank."""
        if self.endless:
            stream = itertools.chain.from_iterable(
                map(self._order, itertools.count()))
        else:
            stream = itertools.islice(
                itertools.cycle(self._order(self.epoch)), self.total_size)
        for position, index in enumerate(stream):
            if position // self.samples_per_gpu % self.world_size == self.rank:
                yield index

    def __len__(self) -> int:
        """The samples of this rank in one epoch."""
        return self.total_size // self.world_size

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next.

        Args:
            epoch (int): From 0.
        """
        self.epoch = epoch

    def _order(self, epoch: int) -> list[int]:
        if not self.shuffle:
            return list(range(len(self.dataset)))
        generator = torch.Generator()
        generator.manual_seed(self.seed + epoch)
        return torch.randperm(len(self.dataset), generator=generator).tolist()
