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


@contextmanager
def margin_kept(device: str) -> Iterator[None]:
    """Within, memory is out before all of it is taken.

    On a CPU the limit is the process's own (``RLIMIT_AS``): of what is free on
    the machine, its ranks share. An operating system would rather kill the
    process than tell it that memory is out.

    Args:
        device (str): 'cuda' or 'cpu'.
    """
    if device == 'cuda':
        free, _ = torch.cuda.mem_get_info()
        held = torch.empty(
            int(MARGIN * free), dtype=torch.uint8, device=device)
        try:
            yield
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
    resource.setrlimit(resource.RLIMIT_AS,
                       (taken + int((1 - MARGIN) * free), hard))
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
