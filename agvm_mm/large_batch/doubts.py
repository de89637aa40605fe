"""What of a resolved config is allowed, and hardly meant."""
from __future__ import annotations

import math

from mmengine.config import Config

from .hook_counts import unknown_hooks
from .samples import batch_unit
from .settings import wrappers_of


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
