"""Keeps the total batch of a config on however many processes there are.

A config states ``total_batch_size``, the samples of one parameter update, and
writes its schedule in updates. :func:`resolve` turns that into what MMEngine
runs: a batch per process and a number of micro-batches, and iterations.
"""
from __future__ import annotations

import copy
import logging
import math

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
    check_count,
    check_settings,
    measures,
    wrappers_of,
)
from .uneven import check_epochs, deal_unevenly


def split_batch(total_batch_size: int,
                world_size: int,
                max_samples_per_gpu: int,
                min_replicas: int = 1,
                unit: int = 1,
                even_dealer: str | None = None) -> tuple[int, int]:
    """Split a total batch into as few micro-batches as fit.

    They are of one size where the processes divide the total, and differ by
    one sample otherwise; see
    :func:`~agvm_mm.large_batch.micro_batches.micro_batch_sizes`.

    Args:
        total_batch_size (int): Samples of one parameter update.
        world_size (int): Processes.
        max_samples_per_gpu (int): Samples that a process can take at once.
        min_replicas (int): Micro-batches that the processes together need;
            AGVM's measurement takes 2. Defaults to 1.
        unit (int): What the samples of a micro-batch must be a multiple of.
            Defaults to 1.
        even_dealer (str, optional): The setting of a sampler whose
            micro-batches are all of one size. Defaults to None, where
            ``TotalBatchSampler`` deals.

    Returns:
        tuple[int, int]: Samples of the largest micro-batch, and micro-batches
        of one update on each process.

    Raises:
        ValueError: If no such split exists. It lists the nearest totals and
            numbers of processes that do.
    """
    for name, value in (('total_batch_size', total_batch_size),
                        ('world_size', world_size), ('max_samples_per_gpu',
                                                     max_samples_per_gpu)):
        check_count(name, value)
    share, rest = divmod(total_batch_size, world_size)
    if rest:
        return _split_unevenly(total_batch_size, world_size,
                               max_samples_per_gpu, unit, even_dealer)
    if total_batch_size < min_replicas:
        raise ValueError(
            f'total_batch_size={total_batch_size} leaves AGVM a single '
            f'gradient to compare; the nearest possible is {min_replicas}')
    limit = min(max_samples_per_gpu, total_batch_size // min_replicas, share)
    fitting = [n for n in range(unit, limit + 1, unit) if share % n == 0]
    if not fitting:
        near = max(share // unit, 1) * unit * world_size
        raise ValueError(
            f'total_batch_size={total_batch_size} on {world_size} processes '
            f'of at most {max_samples_per_gpu} samples (max_samples_per_gpu, '
            'or train_dataloader.batch_size) has no micro-batch that is a '
            f'multiple of {unit}, as train_dataloader.sampler.source_ratio '
            'needs: the nearest possible total_batch_size is '
            f'{max(near, min_replicas * unit)}, with max_samples_per_gpu of '
            f'{unit} at least')
    samples = max(fitting)
    return samples, share // samples


def _split_unevenly(total_batch_size: int, world_size: int,
                    max_samples_per_gpu: int, unit: int,
                    even_dealer: str | None) -> tuple[int, int]:
    """:func:`split_batch`, of a total that the processes do not divide."""
    near = ' or '.join(
        str(n * world_size)
        for n in (total_batch_size // world_size,
                  total_batch_size // world_size + 1) if n)
    if even_dealer or unit > 1:
        divisors = [
            n for n in range(1, total_batch_size + 1)
            if total_batch_size % n == 0
        ]
        below = max(n for n in divisors if n < world_size)
        above = min((n for n in divisors if n > world_size), default=None)
        raise ValueError(
            f'total_batch_size={total_batch_size} does not split evenly over '
            f'{world_size} processes, as {even_dealer or f"unit={unit}"} '
            f'needs. The nearest possible total_batch_size is {near}; or '
            f'train on {" or ".join(str(n) for n in (below, above) if n)} '
            'processes')
    if total_batch_size < world_size:
        raise ValueError(
            f'total_batch_size={total_batch_size} leaves some of {world_size} '
            f'processes without a sample: it must be {world_size} or more; or '
            f'train on {total_batch_size} processes or fewer')
    if max_samples_per_gpu == 1:
        raise ValueError(
            f'total_batch_size={total_batch_size} on {world_size} processes '
            'of max_samples_per_gpu=1 (or train_dataloader.batch_size=1) '
            'leaves a micro-batch without a sample: set max_samples_per_gpu '
            'to 2 or more; or the nearest possible total_batch_size is '
            f'{near}')
    counts = math.ceil(total_batch_size / (world_size * max_samples_per_gpu))
    return math.ceil(total_batch_size / (world_size * counts)), counts


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
    if resolved.to_dict() != cfg.to_dict():
        for doubt in doubts(resolved, world_size, fewest_replicas(cfg)):
            print_log(doubt, 'current', logging.WARNING)
    return resolved


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
    uneven = bool(cfg.total_batch_size % world_size)
    if uneven:
        check_epochs(cfg)
    earlier = earlier_accumulation(cfg)
    deal_whole_updates(cfg, samples, by_iteration)
    use_our_loop(cfg)
    step_schedulers_by_update(cfg, accumulation, earlier, by_iteration)
    for wrapper in wrappers_of(cfg).values():
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
