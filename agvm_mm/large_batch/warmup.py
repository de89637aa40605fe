"""The warm-up that a config's schedulers state, in parameter updates."""
from __future__ import annotations

import math
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim.scheduler.param_scheduler import (
    INF,
    ConstantParamScheduler,
)

from .schedulers import build_scheduler
from .settings import (
    as_count,
    check_count,
    counts_updates,
    schedulers_of,
    wrappers_of,
)

SETTLING = 100  # updates from the warm-up's end to AGVM's begin


def warm_up_updates(cfg: Config | dict,
                    iterations_per_epoch: int | None,
                    accumulative_counts: int,
                    name: str | None = None) -> int | None:
    """The end of the warm-up that a config states.

    A warm-up is any scheduler of the learning rate that begins at 0 and raises
    the rate. Each is built and stepped beside an optimizer of one number; its
    warm-up ends after the step that has its first maximum, or with the run. So
    ``LinearLR(end=500)`` gives 500, and a ``OneCycleLR`` its peak.

    Args:
        cfg (Config or dict): Its ``param_scheduler`` may be None, a dict, a
            list, or lists by the name of an optimizer wrapper. One that
            :func:`~agvm_mm.large_batch.resolve` returned counts updates.
        iterations_per_epoch (int, optional): None if it is not known.
        accumulative_counts (int): Micro-batches of one update.
        name (str, optional): Of the optimizer wrapper whose schedulers count.
            Defaults to None, those of all.

    Returns:
        int or None: The first update after the latest warm-up, counted from 0;
        None if no warm-up is stated.

    Raises:
        ValueError: If a warm-up is stated in epochs, or up to the run's end,
            and ``iterations_per_epoch`` is None, or if a scheduler cannot be
            built.
    """
    by_update = counts_updates(cfg)
    ends = []
    for where, settings in schedulers_of(cfg, name):
        if (settings.get('begin', 0) != 0
                or settings.get('param_name', 'lr') != 'lr'):
            continue
        length = _run_length(cfg, settings, iterations_per_epoch,
                             accumulative_counts if by_update else 1)
        # In the steps of a scheduler that MMEngine converts from epochs.
        epoch = iterations_per_epoch
        if by_update and epoch:
            epoch //= accumulative_counts
        scheduler = _build(cfg, where, settings, length, epoch, name)
        converted = settings.get('convert_to_iter_based', False)
        if converted and length is not None:
            length *= epoch or 1
        steps = _steps_to_peak(scheduler, length)
        if steps is None:
            continue
        in_epochs = (
            scheduler.by_epoch or converted
            or (scheduler.end >= INF and length is None))
        if in_epochs and iterations_per_epoch is None:
            raise ValueError(
                f'{where} is a warm-up whose end depends on the iterations of '
                'an epoch, which are not known: state its end in iterations, '
                'with by_epoch=False')
        if scheduler.by_epoch:
            steps *= iterations_per_epoch
        if scheduler.by_epoch or not by_update:
            steps = math.ceil(steps / accumulative_counts)
        ends.append(steps)
    return max(ends, default=None)


def auto_begin(cfg: Config | dict,
               max_iters: int,
               max_epochs: int | None,
               accumulative_counts: int,
               name: str | None = None) -> int:
    """What ``agvm.begin='auto'`` means in a run.

    Args:
        cfg (Config or dict): See :func:`warm_up_updates`.
        max_iters (int): Iterations of the whole run.
        max_epochs (int, optional): Its epochs; None if it counts iterations.
        accumulative_counts (int): Micro-batches of one update.
        name (str, optional): See :func:`warm_up_updates`.

    Returns:
        int: The end of the warm-up + 100, an update counted from 0.

    Raises:
        ValueError: If no warm-up is stated, or the run ends before.
    """
    # As in _run_length, one epoch if the run counts iterations.
    warm_up = warm_up_updates(cfg, max_iters // (max_epochs or 1),
                              accumulative_counts, name)
    updates = math.ceil(max_iters / accumulative_counts)
    mend = ('set agvm.begin to the update from which on AGVM is to measure, '
            f'an int >= 0 and less than the {updates} updates of the run')
    if warm_up is None:
        raise ValueError(
            "agvm.begin='auto' is the end of the warm-up + "
            f'{SETTLING}, but param_scheduler states no warm-up: {mend}')
    begin = warm_up + SETTLING
    if begin >= updates:
        raise ValueError(
            f"agvm.begin='auto' is the end of the warm-up + {SETTLING}, which "
            f'is {begin} here, but the run ends before: {mend}')
    return begin


def _run_length(cfg: Config | dict, settings: dict,
                iterations_per_epoch: int | None,
                iterations_per_step: int) -> int | None:
    """The run in the steps that settings count; None if it is not known."""
    loop = cfg.get('train_cfg') or {}
    if settings.get('by_epoch', True):
        # MMEngine takes a run that counts iterations for a single epoch.
        return 1 if 'max_iters' in loop else as_count(loop.get('max_epochs'))
    iterations = as_count(loop.get('max_iters'))
    if iterations is None and iterations_per_epoch and 'max_epochs' in loop:
        iterations = as_count(loop['max_epochs']) * iterations_per_epoch
    return iterations and math.ceil(iterations / iterations_per_step)


def _build(cfg: Config | dict, where: str, settings: dict, length: int | None,
           epoch_length: int | None, name: str | None) -> Any:
    """A scheduler beside an optimizer of one number."""
    wrappers = wrappers_of(cfg)
    wrapper = wrappers.get(name) or next(iter(wrappers.values()))
    # Some schedules aim at a rate of their own, as a fifth of the optimizer's.
    lr = (wrapper.get('optimizer') or {}).get('lr') or 1.0
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=float(lr), momentum=0.9)
    end = as_count(settings.get('end'))
    if end is not None:
        check_count(f'{where}.end', end)
    settings = dict(settings, end=(length or INF) if end is None else end)
    scheduler = build_scheduler(
        cfg,
        where,
        settings,
        optimizer=optimizer,
        epoch_length=epoch_length or 1)
    optimizer.step()  # or the scheduler would warn that it never did
    return scheduler


def _steps_to_peak(scheduler: Any, length: int | None) -> int | None:
    """The steps up to the first maximum; None if the rate never rises."""
    if scheduler.param_name != 'lr' or getattr(scheduler, 'need_val_args',
                                               False):
        return None
    if isinstance(scheduler, ConstantParamScheduler):
        # Flat up to its end, which may be as far as never.
        last = scheduler.total_iters
        rises = scheduler.factor < 1 and last < (length or INF - 1)
        return last + 1 if rises else None
    # Where the end is not known, one step tells whether it rises.
    last = scheduler.end if scheduler.end < INF else length or 2
    group = scheduler.optimizer.param_groups[0]
    first = best = value = group['lr']
    peak = 0
    for step in range(1, last):
        scheduler.step()
        previous, value = value, group['lr']
        if value < previous:
            break
        if value > best:
            best, peak = value, step
    return peak + 1 if best > first else None
