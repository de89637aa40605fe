"""What a config will run: its updates, and the learning rate of each."""
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from .empty_dataset import explain_empty
from .launch import refuse_split_by_hand
from .optimizer_rules import stated_lr
from .schedulers import build_scheduler
from .settings import (
    as_count,
    check_count,
    optimizer_of,
    schedulers_of,
    wrappers_of,
)
from .total_batch import fit, resolve


@dataclass(frozen=True)
class Plan:
    """What runs, counted in parameter updates.

    Attributes:
        total_batch_size (int): Samples of one update.
        world_size (int): Processes.
        samples_per_gpu (int): Samples of the largest micro-batch.
        accumulative_counts (int): Micro-batches of one update on a process.
        epochs (int, optional): None if the training counts iterations.
        updates_per_epoch (int, optional): None if the training counts
            iterations.
        updates (int): Of the whole training.
    """

    total_batch_size: int
    world_size: int
    samples_per_gpu: int
    accumulative_counts: int
    epochs: int | None
    updates_per_epoch: int | None
    updates: int

    @property
    def num_replicas(self) -> int:
        """Micro-batches of one update over all processes."""
        return self.world_size * self.accumulative_counts

    @property
    def images_seen(self) -> int:
        """Samples of the whole training, repeated ones included."""
        return self.updates * self.total_batch_size


def updates_per_epoch(num_images: int, total_batch_size: int) -> int:
    """Parameter updates in one epoch; the last may fill up its batch.

    Args:
        num_images (int): Of the training set.
        total_batch_size (int): Samples of one update.
    """
    return math.ceil(num_images / total_batch_size)


def make_plan(cfg: Config, world_size: int) -> Plan:
    """Work out what a config runs.

    Args:
        cfg (Config): States ``total_batch_size``, and ``num_train_images`` if
            its training data need not be at hand.
        world_size (int): Processes.

    Returns:
        Plan: In updates.

    Raises:
        ValueError: As :func:`~agvm_mm.large_batch.resolve`, or if the config
            states no number of epochs or iterations.
        FileNotFoundError: If ``num_train_images`` is not set and the training
            data is not there to be counted.
    """
    loop = cfg.get('train_cfg')
    if isinstance(loop, dict):
        key = 'max_iters' if 'max_iters' in loop else 'max_epochs'
        check_count(f'train_cfg.{key}', as_count(loop.get(key)))
    refuse_split_by_hand(cfg)
    cfg = resolve(cfg, world_size)
    wrapper = next(iter(wrappers_of(cfg).values()))
    accumulation = wrapper['accumulative_counts']
    if 'max_iters' in cfg.train_cfg:
        epochs = per_epoch = None
        updates = cfg.train_cfg.max_iters // accumulation
    else:
        epochs = cfg.train_cfg.max_epochs
        per_epoch = epoch_updates(cfg, accumulation)
        updates = epochs * per_epoch
    return Plan(
        total_batch_size=cfg.total_batch_size,
        world_size=world_size,
        samples_per_gpu=cfg.train_dataloader.batch_size,
        accumulative_counts=accumulation,
        epochs=epochs,
        updates_per_epoch=per_epoch,
        updates=updates)


def learning_rates(cfg: Config,
                   plan: Plan,
                   name: str | None = None) -> list[float]:
    """The learning rate of every update, before AGVM's factors.

    The config's own schedulers are stepped beside an optimizer of one number.

    Args:
        cfg (Config): The config of the plan.
        plan (Plan): From :func:`make_plan`.
        name (str, optional): Of one of several optimizer wrappers. Defaults
            to None, the only one.

    Returns:
        list[float]: As many as there are updates.

    Raises:
        ValueError: If there is no learning rate, or a scheduler that cannot
            be built.
    """
    stated = optimizer_of(wrappers_of(cfg)[name])
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=stated_lr(stated, cfg))
    ends = {True: plan.epochs or 1, False: plan.updates}
    schedulers = []
    for where, settings in schedulers_of(fit(cfg, plan.world_size), name):
        if settings.get('param_name', 'lr') != 'lr':
            continue  # Its setting may be one that SGD lacks.
        settings = dict(settings)
        settings.setdefault('end', ends[settings.get('by_epoch', True)])
        schedulers.append(
            build_scheduler(
                cfg,
                where,
                settings,
                optimizer=optimizer,
                epoch_length=plan.updates_per_epoch))
    optimizer.step()  # or the schedulers would warn that it never did
    rates = []
    for update in range(1, plan.updates + 1):
        rates.append(optimizer.param_groups[0]['lr'])
        epoch_ends = plan.epochs and update % plan.updates_per_epoch == 0
        for scheduler in schedulers:
            if epoch_ends or not scheduler.by_epoch:
                scheduler.step()
    return rates


def drops(rates: list[float]) -> list[int]:
    """The updates at which a learning rate falls to less than half.

    The slow fall of a polynomial is none, nor is its end at 0.

    Args:
        rates (list[float]): From :func:`learning_rates`.
    """
    return [
        update for update in range(1, len(rates))
        if 0 < rates[update] < 0.5 * rates[update - 1]
    ]


def epoch_updates(cfg: Config, micro_batches: int = 1) -> int:
    """The updates of an epoch of a config.

    Args:
        cfg (Config): States ``total_batch_size``.
        micro_batches (int): Of an update, if it is resolved. Defaults to 1.

    Raises:
        FileNotFoundError: As :func:`num_train_images`, which counts them where
            the config states no ``num_batch_per_epoch``.
        ValueError: As that.
    """
    stated = cfg.train_dataloader.get('num_batch_per_epoch')
    if stated is not None:
        return stated // micro_batches
    return updates_per_epoch(num_train_images(cfg), cfg.total_batch_size)


def num_train_images(cfg: Config) -> int:
    """The images of a config's training set, as stated or as counted.

    Raises:
        FileNotFoundError: If they are neither stated nor there.
        ValueError: If none is left, or what is stated is no number of them.
    """
    stated = cfg.get('num_train_images')
    if stated is not None:
        check_count('num_train_images', stated)
        return stated
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    try:
        with explain_empty('train_dataloader'):
            dataset = cfg.train_dataloader.dataset
            if isinstance(dataset, dict):
                dataset = DATASETS.build(dataset)
            return len(dataset)
    except AssertionError as error:  # as mmseg's, of an ann_file
        raise FileNotFoundError(
            f'the training images cannot be counted ({error}): place the '
            'data, or set num_train_images') from error
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f'{error.filename} is not there to count the training images: '
            'place the data, or set num_train_images') from error
