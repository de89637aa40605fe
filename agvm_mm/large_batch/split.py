"""Splits a total batch into micro-batches."""
from __future__ import annotations

from mmengine.config import Config

from .micro_batches import micro_batch_sizes
from .settings import check_count


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


def check_static_graph(cfg: Config, world_size: int,
                       accumulation: int) -> None:
    """Refuse to accumulate under a DDP that takes no accumulation.

    A static graph is learned in the first backward pass, whose gradients must
    be averaged; MMEngine leaves that to the last micro-batch.

    Args:
        cfg (Config): Of a run.
        world_size (int): Processes.
        accumulation (int): Micro-batches of an update, on each process.

    Raises:
        ValueError: If torch would end the run in its first backward pass.
    """
    wrapper = cfg.get('model_wrapper_cfg') or {}
    if wrapper.get('static_graph') and min(world_size, accumulation) > 1:
        raise ValueError(
            'model_wrapper_cfg.static_graph=True takes no accumulation, but '
            f'total_batch_size={cfg.total_batch_size} on {world_size} '
            f'processes has {accumulation} micro-batches in an update: leave '
            'static_graph out (find_unused_parameters=True serves a model '
            'that does not use all of its parts), or train on '
            f'{world_size * accumulation} processes or more')


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
    sizes = micro_batch_sizes(total_batch_size, world_size,
                              max_samples_per_gpu)
    return max(sizes), len(sizes) // world_size
