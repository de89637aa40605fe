"""How a total batch is cut into micro-batches."""
from __future__ import annotations

import math


def micro_batch_sizes(total_batch_size: int, world_size: int,
                      samples_per_gpu: int) -> list[int]:
    """The samples of each micro-batch of an update, over all ranks.

    Every rank has as many micro-batches, the fewest that fit, because ranks
    wait for each other. Micro-batch i is rank ``i % world_size``'s. Sizes
    differ by one at most, and not at all where the ranks divide the total into
    whole micro-batches.

    Args:
        total_batch_size (int): Samples of one parameter update.
        world_size (int): Processes.
        samples_per_gpu (int): Samples of the largest micro-batch.

    Returns:
        list[int]: Their sum is ``total_batch_size``.
    """
    counts = math.ceil(total_batch_size / (world_size * samples_per_gpu))
    size, larger = divmod(total_batch_size, world_size * counts)
    return [size + (i < larger) for i in range(world_size * counts)]


def loss_weights(sizes: list[int]) -> list[float]:
    r"""What the loss of each micro-batch is multiplied by.

    With N micro-batches of :math:`b_i` samples, B in all,

    .. math:: w_i = N b_i / B

    so that the mean over micro-batches and ranks, which accumulation and DDP
    or FSDP take, is the mean over samples.

    Args:
        sizes (list[int]): From :func:`micro_batch_sizes`.

    Returns:
        list[float]: All 1 where the sizes are equal.
    """
    total = sum(sizes)
    return [len(sizes) * size / total for size in sizes]


def described(total_batch_size: int,
              world_size: int,
              samples_per_gpu: int,
              process: tuple[str, str] = ('process', 'processes'),
              samples: str = 'samples') -> str:
    """How a total batch is dealt, in words.

    Args:
        total_batch_size (int): Samples of one parameter update.
        world_size (int): Processes.
        samples_per_gpu (int): Samples of the largest micro-batch.
        process (tuple[str, str]): What to call one process, and several.
        samples (str): What to call samples.
    """
    sizes = micro_batch_sizes(total_batch_size, world_size, samples_per_gpu)
    counts = len(sizes) // world_size
    of_rank = [sum(sizes[rank::world_size]) for rank in range(world_size)]
    if of_rank[0] == of_rank[-1]:
        return (f'{_some(world_size, *process)} x {samples_per_gpu} {samples} '
                f'x {_some(counts, "micro-batch", "micro-batches")}')
    parts = [
        f'{_some(of_rank.count(share), *process)} x {share} {samples}'
        for share in (of_rank[0], of_rank[-1])
    ]
    cut = (f', in {counts} micro-batches of {min(sizes)} or {max(sizes)}'
           if counts > 1 else '')
    return ' + '.join(parts) + cut


def _some(number: int, one: str, several: str) -> str:
    return f'{number} {one if number == 1 else several}'
