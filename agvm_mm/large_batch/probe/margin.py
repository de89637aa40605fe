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


@contextmanager
def margin_kept(device: str) -> Iterator[int]:
    """Within, memory is out before all of it is taken.

    On a CPU the limit is the process's own (``RLIMIT_AS``): of what is free on
    the machine, its ranks share. An operating system would rather kill the
    process than tell it that memory is out.

    Args:
        device (str): 'cuda' or 'cpu'.

    Yields:
        int: Bytes that are kept.
    """
    if device == 'cuda':
        free, _ = torch.cuda.mem_get_info()
        kept = int(MARGIN * free)
        held = torch.empty(kept, dtype=torch.uint8, device=device)
        try:
            yield kept
        finally:
            del held
        return
    import resource  # which Windows lacks

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    taken = _taken()
    ranks = int(os.environ.get('LOCAL_WORLD_SIZE', get_world_size()))
    free = _free() // ranks
    if soft != resource.RLIM_INFINITY:
        free = min(free, soft - taken)
    least = LEAST_ALONE if get_world_size() == 1 else LEAST_OF_SEVERAL
    kept = max(int(MARGIN * free), least)
    resource.setrlimit(resource.RLIMIT_AS,
                       (taken + max(free - kept, 0), hard))
    try:
        yield kept
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
