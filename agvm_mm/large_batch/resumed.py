"""Finds where in its data a resumed run goes on."""
from __future__ import annotations

import logging
import math
import re
from typing import Any

from mmengine.logging import print_log
from mmengine.runner import Runner

from .loops import TotalBatchEpochLoop

# In the text of a config that MMEngine writes into a checkpoint.
STATED = re.compile(r'accumulative_counts=(\d+)')


def note_position(runner: Runner, meta: dict, counts: int) -> None:
    """Write the updates done into a checkpoint's meta data.

    Args:
        runner (Runner): Of the training.
        meta (dict): It has the epochs and iterations done.
        counts (int): Micro-batches of one update.
    """
    meta['updates'] = math.ceil(meta['iter'] / counts)
    meta['total_batch_size'] = runner.cfg.get('total_batch_size')
    if isinstance(runner.train_loop, TotalBatchEpochLoop):
        meta['epoch_updates'] = len(runner.train_dataloader) // counts


def settle_position(runner: Runner, checkpoint: dict, counts: int) -> None:
    """Turn the updates done into iterations of this run.

    Args:
        runner (Runner): That goes on from the checkpoint.
        checkpoint (dict): Of a run with a total batch, of one that was split
            by hand, or of MMEngine's own. Its meta data are changed, and the
            state of schedulers that counted micro-batches.
        counts (int): Micro-batches of one update.
    """
    meta = checkpoint['meta']
    updates = _updates_done(checkpoint)
    if 'updates' not in meta and meta['iter'] != updates:
        _count_updates(runner.param_schedulers,
                       checkpoint.get('param_schedulers'), updates)
    meta['iter'] = updates * counts
    by_epoch = isinstance(runner.train_loop, TotalBatchEpochLoop)
    total, earlier = (of.get('total_batch_size') for of in (runner.cfg, meta))
    if earlier not in (None, total):
        _warn(f'The checkpoint is of total_batch_size={earlier}, and this run '
              f'of {total}: what counts updates goes on at update '
              f'{meta["iter"] // counts}.')
    if by_epoch:
        _begin_other_epoch(meta, len(runner.train_dataloader), counts)


def _updates_done(checkpoint: dict) -> int:
    meta = checkpoint['meta']
    if 'updates' in meta:
        return meta['updates']
    agvm = checkpoint.get('optimizer', {}).get('agvm')
    if agvm is not None:  # Of a run that was split by hand.
        return agvm['updates']
    stated = STATED.search(str(meta.get('cfg')))
    return math.ceil(meta['iter'] / (int(stated[1]) if stated else 1))


def _count_updates(ours: Any, states: Any, updates: int) -> None:
    """Give schedules that counted micro-batches the counts of this run's."""
    if isinstance(states, dict):  # Of several optimizer wrappers.
        for name, of_wrapper in states.items():
            _count_updates((ours or {}).get(name), of_wrapper, updates)
        return
    for own, state in zip(ours or [], states or []):
        if (state['by_epoch'] or own.by_epoch
                or getattr(own, 'need_val_args', False)):
            continue
        stated = own.state_dict()
        for key in ('_last_value', 'base_values'):
            stated.pop(key, None)
        within = min(max(updates + 1, own.begin), own.end)
        state.update(
            stated,
            _global_step=updates + 1,
            last_step=within - own.begin - 1)


def _begin_other_epoch(meta: dict, length: int, counts: int) -> None:
    """Where the epochs of the checkpoint were longer or shorter than here."""
    done = meta['iter'] - meta['epoch'] * length
    # MMEngine's counts an epoch as soon as it is over.
    most = length if 'updates' in meta else length - 1
    here = length // counts
    if meta.get('epoch_updates', here) == here and 0 <= done <= most:
        return
    meta['iter'] = meta['epoch'] * length
    _warn(f'The checkpoint is of other epochs than of {here} updates: the '
          f'training goes on at the beginning of epoch {meta["epoch"] + 1}.')


def _warn(message: str) -> None:
    print_log(message, logger='current', level=logging.WARNING)
