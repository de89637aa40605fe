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
