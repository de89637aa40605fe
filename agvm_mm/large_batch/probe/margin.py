"""Keeps a part of the memory free while something is tried."""
from __future__ import annotations

import os
from contextlib import contextmanager
from typing import Iterator

import torch
from mmengine.dist import get_world_size

# Of the memory that is free when the tries begin. It is for what they do not
# see: larger images and more objects than those that were found, memory in
# pieces, communication, validation, checkpoints.
MARGIN = 0.1
# On a CPU no less than this, in bytes, of a single process and of one of
# several: libraries that are loaded later, and threads, as those of gloo's
# connections, take address space, each thread 64 MiB and more.
LEAST_ALONE, LEAST_OF_SEVERAL = 256 * 2**20, 640 * 2**20

# Below this, in bytes, the C library ends a process rather than tell it.
LEAST_TO_TRY = 64 * 2**20


def free_memory(device: str) -> int:
    """Bytes that this process may take.

    Args:
        device (str): 'cuda' or 'cpu'. On a CPU they are what its limit
            (``RLIMIT_AS``) leaves, and its share of what is free on the
            machine: ranks there share it.
    """
    if device == 'cuda':
        return torch.cuda.mem_get_info()[0]
    import resource  # which Windows lacks

    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    ranks = int(os.environ.get('LOCAL_WORLD_SIZE') or get_world_size())
    free = _free() // ranks
    if soft != resource.RLIM_INFINITY:
        free = min(free, soft - _taken())
    return max(free, 0)


def margin_of(device: str, free: int) -> int:
    """Bytes of the free ones that are kept.

    Args:
        device (str): 'cuda' or 'cpu'.
        free (int): From :func:`free_memory`.
    """
    margin = int(MARGIN * free)
    if device == 'cuda':
        return margin
    several = get_world_size() > 1
    return max(margin, LEAST_OF_SEVERAL if several else LEAST_ALONE)


@contextmanager
def limited(device: str, free: int, kept: int) -> Iterator[None]:
    """Within, memory is out while some is still free.

    On a CPU by this process's limit: an operating system would rather kill it
    than tell it that memory is out.

    Args:
        device (str): 'cuda' or 'cpu'.
        free (int): Bytes, from :func:`free_memory`.
        kept (int): Bytes of them that cannot be taken.
    """
    if device == 'cuda':
        held = torch.empty(kept, dtype=torch.uint8, device=device)
        try:
            yield
        finally:
            del held
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_taken() + free - kept, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _taken() -> int:
    """Bytes of address space that this process has."""
    with open('/proc/self/statm') as file:
        return int(file.read().split()[0]) * os.sysconf('SC_PAGE_SIZE')


def _free() -> int:
    """Bytes of memory that are free on this machine."""
    with open('/proc/meminfo') as file:
        lines = dict(line.split(':') for line in file)
    return int(lines['MemAvailable'].split()[0]) * 1024
