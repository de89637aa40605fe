"""What in a config counts iterations, and is meant to count updates."""
from __future__ import annotations

import math

from mmengine.config import Config, ConfigDict

from .hook_counts import multiply, rescale_hooks, step_by_update
from .model_counts import rescale_model
from .settings import (
    as_count,
    counts_updates,
    schedulers_of,
    type_name,
    wrappers_of,
)

# Logged once an update, where all else that is averaged is at each iteration.
GRAD_NORM = 'grad_norm'
LOOP_COUNTS = ('max_iters', 'val_interval', 'val_begin')


def earlier_accumulation(cfg: Config) -> int:
    """The micro-batches of an update that a config was written for.

    Args:
        cfg (Config): As a user wrote it, or as it was resolved before.

    Returns:
        int: 1, unless it was resolved.

    Raises:
        ValueError: If a wrapper states another number, or is no settings.
    """
    if not isinstance(cfg.get('optim_wrapper'), dict):
        raise ValueError(
            f'optim_wrapper={cfg.get("optim_wrapper")!r} beside '
            f'total_batch_size={cfg.total_batch_size} must be a dict, in '
            'which accumulative_counts can be set')
    resolved = counts_updates(cfg)
    stated = {
        '.'.join(filter(None, ('optim_wrapper', name, 'accumulative_counts'))):
        wrapper.get('accumulative_counts', 1)
        for name, wrapper in wrappers_of(cfg).items()
    }
    earlier = 1
    if resolved:
        earlier = cfg.default_hooks.param_scheduler.get(
            'accumulative_counts', next(iter(stated.values())))
    for field, count in stated.items():
        if count == earlier:
            continue
        if resolved:
            raise ValueError(
                f'{field}={count} in a config whose iterations are those of '
                f'accumulative_counts={earlier}: leave it as it was, because '
                'it follows from the number of processes, or start from the '
                'config that this one was made of')
        raise ValueError(
            f'{field}={count} beside '
            f'total_batch_size={cfg.total_batch_size}: leave it out, because '
            'it follows from the number of processes, and write the schedule '
            'in updates')
    return earlier


def step_schedulers_by_update(cfg: Config, accumulation: int, earlier: int,
                              by_iteration: bool) -> None:
    """Let schedulers that count iterations count updates.

    Args:
        cfg (Config): It is changed.
        accumulation (int): The ``accumulative_counts`` of this run.
        earlier (int): The ``accumulative_counts`` that it was written for.
        by_iteration (bool): Whether the training loop counts iterations.

    Raises:
        ValueError: If a scheduler cannot be read in updates.
    """
    step_by_update(cfg, accumulation)
    for where, scheduler in schedulers_of(cfg):
        by_update = not scheduler.get('by_epoch', True)
        if by_update and scheduler.get('end') is None and by_iteration:
            # MMEngine's default is max_iters, which is about to be rescaled.
            scheduler['end'] = cfg.train_cfg.max_iters // earlier
        elif by_update and scheduler.get('end') is None:
            raise ValueError(
                f'{where}.end is not set, and would count iterations: set it '
                'to the number of updates')
        elif (scheduler.get('convert_to_iter_based')
              and type_name(cfg.train_cfg) != 'TotalBatchEpochLoop'):
            raise ValueError(
                f'{where}.convert_to_iter_based counts iterations: give its '
                'begin and end in updates, with by_epoch=False')


def rescale_loop(cfg: Config, to: int, of: int) -> None:
    """Multiply what the training loop counts by ``to / of``, rounded up.

    Args:
        cfg (Config): It is changed.
        to (int): What a count is multiplied by.
        of (int): What it is divided by.
    """
    multiply(cfg.train_dataloader, 'num_batch_per_epoch', to, of)
    loop = cfg.train_cfg
    if 'max_iters' not in loop:
        return
    for key in LOOP_COUNTS:
        multiply(loop, key, to, of, 1000 if key == 'val_interval' else None)
    if loop.get('dynamic_intervals'):
        # MMEngine takes tuples, and a milestone is the first iteration behind
        # it, counted from 1.
        loop.dynamic_intervals = [
            (math.ceil((begin - 1) * to / of) + 1,
             math.ceil(interval * to / of))
            for begin, interval in loop.dynamic_intervals
        ]


def rescale(cfg: Config, accumulation: int, earlier: int) -> None:
    """Turn counts of ``earlier`` iterations an update into this run's.

    Args:
        cfg (Config): It is changed.
        accumulation (int): The ``accumulative_counts`` of this run.
        earlier (int): The ``accumulative_counts`` that it was written for.

    Raises:
        ValueError: If what counts iterations is built already.
    """
    rescale_hooks(cfg, accumulation, earlier)
    rescale_model(cfg, accumulation, earlier)
    if accumulation == earlier:
        return
    rescale_loop(cfg, accumulation, earlier)
    if cfg.get('log_processor') is None:
        cfg.log_processor = ConfigDict()
    log = cfg.log_processor
    if not isinstance(log, dict):
        raise ValueError(
            f'log_processor={log!r} averages over iterations, and is built '
            'already, so that it cannot be set to '
            f'accumulative_counts={accumulation}: state it as a dict')
    updates = as_count(log.get('window_size', 10)) // earlier
    multiply(log, 'window_size', accumulation, earlier, 10)
    windows = log.get('custom_cfg') or []
    for window in windows:
        if window.get('data_src') != GRAD_NORM:
            multiply(window, 'window_size', accumulation, earlier)
    clips = any(of.get('clip_grad') for of in wrappers_of(cfg).values())
    told = [window.get('data_src') for window in windows]
    # Another class may take no custom_cfg.
    if (clips and GRAD_NORM not in told
            and type_name(log) in ('', 'LogProcessor')):
        log.custom_cfg = [
            *windows,
            ConfigDict(
                data_src=GRAD_NORM, method_name='mean', window_size=updates)
        ]
