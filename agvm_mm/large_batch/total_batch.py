"""Keeps the total batch of a config on however many processes there are.

A config states ``total_batch_size``, the samples of one parameter update, and
writes its schedule in updates. :func:`resolve` turns that into what MMEngine
runs: a batch per process and a number of micro-batches, and iterations.
"""
from __future__ import annotations

import copy
import logging

from mmengine.config import Config
from mmengine.logging import print_log

from .doubts import doubts
from .iterations import (
    earlier_accumulation,
    rescale,
    step_schedulers_by_update,
)
from .loop_types import use_our_loop
from .recovery_hooks import add_recovery_hooks
from .samples import (
    batch_unit,
    deal_whole_updates,
    even_dealer,
    most_samples,
)
from .settings import (
    as_count,
    check_accumulates,
    check_count,
    check_settings,
    finds_samples,
    measures,
    type_name,
    wrappers_of,
)
from .split import check_static_graph, split_batch
from .uneven import check_epochs, deal_unevenly


def resolve(cfg: Config, world_size: int) -> Config:
    """Make a config run its ``total_batch_size`` on ``world_size`` processes.

    Sets the batch per process and ``accumulative_counts``, multiplies what
    counts iterations by the latter (iteration-based loops; the intervals of
    logs, checkpoints, validation and EMA), lets schedulers that count
    iterations step once an update, and deals the data in whole updates. So
    the count of updates and their learning rates do not depend on
    ``world_size``, and neither do their samples: where mmdet's
    ``AspectRatioBatchSampler`` would group each rank's own, our sampler groups
    those of an update. Where the processes do not divide the total, their
    losses are weighted by their samples. AGVM's ``begin``, ``end`` and
    ``interval`` count updates already. Where ``optim_wrapper`` holds several
    wrappers by name, each is set. A config that :func:`resolve` returned, or
    that a run dumped, can be resolved again for another ``world_size``.

    Args:
        cfg (Config): States ``total_batch_size``, and ``max_samples_per_gpu``
            if ``train_dataloader.batch_size`` is not the most that fits. It is
            not changed.
        world_size (int): Processes of the run.

    Returns:
        Config: For ``Runner.from_cfg``.

    Raises:
        ValueError: If the total batch cannot be run, or a setting cannot be
            expressed in updates. The message names what can.
    """
    resolved = fit(cfg, world_size)
    # A tool may resolve for the run, and the run's own runner again.
    if _dealt(resolved) != _dealt(cfg):
        for doubt in doubts(resolved, world_size, fewest_replicas(cfg)):
            print_log(doubt, 'current', logging.WARNING)
    return resolved


def _dealt(cfg: Config) -> list:
    """What follows from the number of processes."""
    loader = cfg.train_dataloader
    return [
        type_name(loader.sampler),
        loader.get('batch_size'),
        *(wrapper.get('accumulative_counts')
          for wrapper in wrappers_of(cfg).values())
    ]


def fit(cfg: Config, world_size: int) -> Config:
    """:func:`resolve`, without its warnings.

    Args:
        cfg (Config): See :func:`resolve`.
        world_size (int): Processes of the run.

    Returns:
        Config: See :func:`resolve`.

    Raises:
        ValueError: As :func:`resolve`.
    """
    if cfg.get('total_batch_size') is None:
        raise ValueError('total_batch_size is not set: add the samples of one '
                         'parameter update to the top level of the config')
    check_settings(cfg)
    if finds_samples(cfg):
        raise ValueError(
            "max_samples_per_gpu='auto' is found where a training starts, "
            'before its runner is built: call agvm_mm.large_batch.'
            'find_samples(cfg, launcher) first, or set a number')
    check_lr_of_total(cfg)
    cfg = copy.deepcopy(cfg)
    by_iteration = 'max_iters' in cfg.train_cfg
    for key in ('max_iters' if by_iteration else 'max_epochs', 'val_interval'):
        if key in cfg.train_cfg:  # A loop of the user's own may have none.
            cfg.train_cfg[key] = as_count(cfg.train_cfg[key])
            check_count(f'train_cfg.{key}', cfg.train_cfg[key])
    # Or, resolved again, a small micro-batch would be the most that fits.
    cfg.max_samples_per_gpu = most_samples(cfg)
    samples, accumulation = split_batch(cfg.total_batch_size, world_size,
                                        cfg.max_samples_per_gpu,
                                        fewest_replicas(cfg), batch_unit(cfg),
                                        even_dealer(cfg))
    check_static_graph(cfg, world_size, accumulation)
    uneven = bool(cfg.total_batch_size % world_size)
    if uneven:
        check_epochs(cfg)
    earlier = earlier_accumulation(cfg)
    deal_whole_updates(cfg, samples, by_iteration)
    use_our_loop(cfg)
    step_schedulers_by_update(cfg, accumulation, earlier, by_iteration)
    for wrapper in wrappers_of(cfg).values():
        check_accumulates(wrapper)
        wrapper['accumulative_counts'] = accumulation
    rescale(cfg, accumulation, earlier)
    add_recovery_hooks(cfg)
    deal_unevenly(cfg, uneven)
    return cfg


def fewest_replicas(cfg: Config) -> int:
    """The micro-batches of an update that a config needs at least.

    Args:
        cfg (Config): Of a run.
    """
    return 2 if any(map(measures, wrappers_of(cfg).values())) else 1


def check_lr_of_total(cfg: Config | dict) -> None:
    """Refuse to scale a learning rate that is the total batch's already.

    Args:
        cfg (Config or dict): States ``total_batch_size``.

    Raises:
        ValueError: If MMEngine would scale it.
    """
    if (cfg.get('auto_scale_lr') or {}).get('enable'):
        raise ValueError(
            'auto_scale_lr.enable=True (--auto-scale-lr) beside '
            f'total_batch_size={cfg["total_batch_size"]}: leave it out, '
            'because lr is of the total batch, which is kept on any number of '
            'processes')
