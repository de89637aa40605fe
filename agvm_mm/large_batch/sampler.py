"""Deals the data in whole updates.

MMEngine accumulates gradients, but it counts iterations: an epoch that is no
multiple of the accumulation ends inside an update.
"""
from __future__ import annotations

import itertools
import math
import platform
from typing import Any, Iterator, Sequence, Sized

import torch
from mmengine.dist import (
    all_gather_object,
    get_dist_info,
    sync_random_seed,
)
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import DataLoader, Sampler

from agvm_mm.recovery.randomness import SeededFetch, SeededIndex

from .micro_batches import micro_batch_sizes

# Apart from the keys of updates.
SAMPLES = 0


@DATA_SAMPLERS.register_module()
class TotalBatchSampler(Sampler):
    """Deals whole updates of a total batch to the processes.

    An epoch's order is cut into updates, and each of these into micro-batches
    of at most ``samples_per_gpu``, which are dealt to the ranks in turn. So
    the samples of an update are the same however many processes share it, and
    an epoch holds ``ceil(len(dataset) / total_batch_size)`` updates, the last
    of them filled up with the first images of the epoch's order. In MMEngine's
    samplers the first does not hold, and the second does not under
    accumulation.

    Args:
        dataset (Sized): The dataset.
        total_batch_size (int): Samples of one parameter update.
        samples_per_gpu (int): Samples of the largest micro-batch: the
            dataloader's ``batch_size``.
        endless (bool): Whether to go on from one epoch into the next without
            an end, as MMEngine's ``InfiniteSampler``. Defaults to False.
        shuffle (bool): Whether to draw a new order for every epoch. Defaults
            to True.
        seed (int, optional): Of the orders. Defaults to None, one that all
            processes agree on.
        by_shape (bool): Whether the wide images of an update, and the others,
            are kept together, so that a micro-batch, but for one, is of one
            kind and needs little padding; which micro-batch has which is
            drawn anew in each update. The dataset tells by
            ``get_data_info``, as for mmdet's ``AspectRatioBatchSampler``,
            which groups the images of each rank, and so changes the updates.
            Defaults to False.
        seeded (bool): Whether a sample's random numbers (of Python, NumPy and
            torch) depend on nothing but the seed, the epoch and its place in
            that. Then the dataset hands out batches by a ``__getitems__`` that
            is put upon it. Defaults to False.

    Attributes:
        start (int): The update to begin with, in each epoch from 0 on or, of
            an endless stream, in the whole. Nothing before it is loaded.

    Raises:
        ValueError: If the dataset is empty or takes no method, or if the
            processes would not deal the same.
    """

    def __init__(self,
                 dataset: Sized,
                 total_batch_size: int,
                 samples_per_gpu: int,
                 endless: bool = False,
                 shuffle: bool = True,
                 seed: int | None = None,
                 by_shape: bool = False,
                 seeded: bool = False) -> None:
        _check_alike({
            'len(train_dataloader.dataset)': len(dataset),
            'total_batch_size': total_batch_size,
            'train_dataloader.batch_size': samples_per_gpu,
            'train_dataloader.sampler.shuffle': shuffle,
            'randomness.seed': seed
        })
        if not len(dataset):
            raise ValueError(
                f'train_dataloader.dataset={type(dataset).__name__} holds no '
                'image: its ann_file, or what data_root, data_prefix and '
                'filter_cfg leave of it, must list one or more')
        self.rank, self.world_size = get_dist_info()
        self.dataset = dataset
        self.total_batch_size = total_batch_size
        self.samples_per_gpu = samples_per_gpu
        self.endless = endless
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else seed
        self.by_shape = by_shape
        self.epoch = 0
        self.start = 0
        self.updates = math.ceil(len(dataset) / total_batch_size)
        self._wide: dict[int, bool] = {}
        self.seeded = seeded
        if seeded:
            _let_seed(dataset)

    def __iter__(self) -> Iterator[int]:
        """The samples of this rank."""
        return itertools.chain.from_iterable(self.micro_batches())

    def micro_batches(self) -> Iterator[list[int]]:
        """The samples of this rank, one list a micro-batch."""
        sizes = self.sizes
        bounds = [0, *itertools.accumulate(sizes)]
        for update in self._updates():
            for i in range(self.rank, len(sizes), self.world_size):
                yield update[bounds[i]:bounds[i + 1]]

    def __len__(self) -> int:
        """The samples of this rank in one epoch."""
        return self.updates * sum(self.sizes[self.rank::self.world_size])

    @property
    def sizes(self) -> list[int]:
        """The samples of each micro-batch of an update, over all ranks."""
        return micro_batch_sizes(self.total_batch_size, self.world_size,
                                 self.samples_per_gpu)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next.

        Args:
            epoch (int): From 0.
        """
        self.epoch = epoch

    def _updates(self) -> Iterator[list[int]]:
        """The samples of each update, from ``start`` on."""
        total = self.total_batch_size
        # Where it begins, in whole epochs and samples of the next one.
        epochs, skipped = divmod(self.start * total, len(self.dataset))
        if self.endless:
            stream = itertools.chain.from_iterable(
                map(self._order, itertools.count(epochs)))
        else:
            # More than once around if an update holds more than an epoch.
            stream = itertools.cycle(self._order(self.epoch))
        stream = itertools.islice(stream, skipped, None)
        updates = itertools.count(self.start) if self.endless else range(
            self.start, self.updates)
        for number in updates:
            update = list(itertools.islice(stream, total))
            if self.seeded:
                epoch = 0 if self.endless else self.epoch
                update = [
                    SeededIndex(index, (self.seed, SAMPLES, epoch, place))
                    for place, index in enumerate(update, number * total)
                ]
            if self.by_shape:
                update = self._by_shape(update, number)
            yield update

    def _by_shape(self, update: list[int], number: int) -> list[int]:
        """An update whose micro-batches, but for one, are of one shape.

        In the order of the shapes the first ranks would have the tall images
        of every update, and so would the first half of the replicas, and the
        larger ones of uneven micro-batches.
        """
        sizes = self.sizes
        generator = torch.Generator()
        generator.manual_seed(self.seed + self.epoch * self.updates + number)
        places = torch.randperm(len(sizes), generator=generator).tolist()
        images = iter(sorted(update, key=self._is_wide))
        dealt = {i: list(itertools.islice(images, sizes[i])) for i in places}
        return [index for i in range(len(sizes)) for index in dealt[i]]

    def _order(self, epoch: int) -> Sequence[int]:
        if not self.shuffle:
            return range(len(self.dataset))
        generator = torch.Generator()
        generator.manual_seed(self.seed + epoch)
        return torch.randperm(len(self.dataset), generator=generator).tolist()

    def _is_wide(self, index: int) -> bool:
        if index not in self._wide:
            info = self.dataset.get_data_info(index)  # type: ignore
            self._wide[index] = info['width'] >= info['height']
        return self._wide[index]


def sampler_of(loader: DataLoader) -> Any:
    """The sampler of a dataloader, where a batch sampler stands upon it too.

    Args:
        loader (DataLoader): As MMEngine built it.
    """
    return getattr(loader.batch_sampler, 'sampler', loader.sampler)


def _let_seed(dataset: Any) -> None:
    try:
        dataset.__getitems__ = SeededFetch(dataset)
    except AttributeError as error:  # As of a list.
        raise ValueError(
            f'train_dataloader.dataset={type(dataset).__name__} takes no '
            'method that seeds its samples: make it a '
            'torch.utils.data.Dataset, or set '
            'recovery=dict(randomness=False)') from error


def _check_alike(stated: dict[str, Any]) -> None:
    """Refuse processes of which each would deal samples of its own.

    Args:
        stated (dict[str, Any]): What all must have alike, by what it is.

    Raises:
        ValueError: On every process, if they have not.
    """
    told = all_gather_object((platform.node(), stated))
    for name in stated:
        hosts: dict[str, set[str]] = {}
        for host, of_process in told:
            hosts.setdefault(str(of_process[name]), set()).add(host)
        if len(hosts) > 1:
            found = '; '.join(f'{value} on {", ".join(sorted(names)[:4])}'
                              for value, names in hosts.items())
            raise ValueError(
                f'{name} differs between the processes: {found}. Start all '
                'with the same config, and give all machines the same data')
