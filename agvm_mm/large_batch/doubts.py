"""What of a resolved config is allowed, and hardly meant."""
from __future__ import annotations

import math

import torch
from mmengine.config import Config

from .hook_counts import unknown_hooks
from .samples import batch_unit
from .schedulers import build_scheduler
from .settings import schedulers_of, type_name, wrappers_of
from .warmup import warm_up_updates


def doubts(cfg: Config, world_size: int, min_replicas: int) -> list[str]:
    """What a user should know before such a run.

    Args:
        cfg (Config): From :func:`~agvm_mm.large_batch.resolve`.
        world_size (int): Processes of the run.
        min_replicas (int): Micro-batches that they together need.

    Returns:
        list[str]: Sentences, one for each doubt.
    """
    counts = next(iter(wrappers_of(cfg).values()))['accumulative_counts']
    if counts == 1:
        return []
    found = _small_micro_batches(cfg, world_size, min_replicas, counts)
    hooks = unknown_hooks(cfg)
    if hooks:
        found.append(
            f'{", ".join(hooks)}: acts on iterations, of which an update has '
            f'{counts} here, and what it counts is not known, so nothing of '
            'it was changed. If it counts iterations, let it count updates: '
            'one ends where (runner.iter + 1) % accumulative_counts == 0')
    return found


def warm_up_doubts(cfg: Config, max_iters: int, max_epochs: int) -> list[str]:
    """What a user should know of warm-ups that miss the optimizer's rate.

    Args:
        cfg (Config): From :func:`~agvm_mm.large_batch.resolve`.
        max_iters (int): Iterations of the whole run.
        max_epochs (int): Its epochs; 1 if it counts iterations.

    Returns:
        list[str]: Sentences, one for each doubt.
    """
    found = []
    for name, wrapper in wrappers_of(cfg).items():
        try:
            doubt = _of_warm_up(cfg, max_iters, max_epochs, name, wrapper)
        except ValueError:  # MMEngine builds the schedulers next, and tells.
            continue
        if doubt is not None:
            found.append(doubt)
    return found


def _of_warm_up(cfg: Config, max_iters: int, max_epochs: int, name: str | None,
                wrapper: dict) -> str | None:
    counts = wrapper['accumulative_counts']
    end = warm_up_updates(cfg, max_iters // max_epochs, counts, name)
    if end is None:
        return None
    updates = max_iters // counts
    if end > updates:
        return (f'The warm-up of param_scheduler ends at update {end}, and '
                f'the run at {updates}, so that it never has the rate of its '
                'optimizer: shorten the warm-up, or train longer')
    share = _after_exponential(cfg, end, name)
    if share is None or 0.5 < share < 2:
        return None
    return (f'The warm-up of param_scheduler ends at update {end} with '
            f'{share:.3g} times optimizer.lr='
            f'{wrapper["optimizer"].get("lr")}: the gamma of an ExponentialLR '
            'belongs to its end, as gamma=1000**(1 / 460) to end=461. Change '
            'both')


def _after_exponential(cfg: Config, end: int,
                       name: str | None) -> float | None:
    """What an exponential warm-up makes of 1; None if there is none."""
    stated = [(where, settings) for where, settings in schedulers_of(cfg, name)
              if settings.get('begin', 0) == 0
              and settings.get('param_name', 'lr') == 'lr'
              and not settings.get('by_epoch', True)]
    # One that falls is no warm-up, but begins beside it.
    if not any(
            type_name(settings) == 'ExponentialLR'
            and settings.get('gamma', 1) > 1
            for _, settings in stated):
        return None
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    schedulers = [
        build_scheduler(cfg, where, settings, optimizer=optimizer)
        for where, settings in stated
    ]
    optimizer.step()  # or the schedulers would warn that it never did
    for _ in range(end - 1):
        for scheduler in schedulers:
            scheduler.step()
    return optimizer.param_groups[0]['lr']


def _small_micro_batches(cfg: Config, world_size: int, min_replicas: int,
                         counts: int) -> list[str]:
    total, samples = cfg.total_batch_size, cfg.train_dataloader.batch_size
    most = cfg.max_samples_per_gpu
    if 2 * samples >= min(most, total // world_size, total // min_replicas):
        return []
    # The fewest micro-batches, and what would fill all of them alike.
    fewest = max(
        math.ceil(total / (world_size * most)),
        math.ceil(min_replicas / world_size))
    step = world_size * fewest * batch_unit(cfg)
    below = total // step * step
    near = ' or '.join(str(n) for n in (below, below + step) if n)
    return [
        f'total_batch_size={total} on {world_size} processes that take up to '
        f'{most} samples at once (max_samples_per_gpu, or '
        f'train_dataloader.batch_size) runs as {counts} micro-batches of '
        f'{samples}, far below what fits: the nearest total_batch_size that '
        f'uses the processes is {near}, as {fewest} micro-batch'
        f'{"es" if fewest > 1 else ""}'
    ]
