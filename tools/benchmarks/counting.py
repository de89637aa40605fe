"""Messages between ranks and bytes of memory, counted as they happen."""
from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Callable, Iterator
from unittest import mock

import torch
import torch.distributed as dist
from torch.profiler import ProfilerActivity, profile


@contextmanager
def count_messages() -> Iterator[list[int]]:
    """Collect the bytes of every tensor given to a collective from Python.

    DDP's own all-reduce is C++ and is not seen: it is there without AGVM too.

    Yields:
        list[int]: Bytes of this rank's tensor, one element a message.
    """
    sizes: list[int] = []

    def counting(function: Callable, argument: int) -> Callable:

        def counted(*args: Any, **kwargs: Any) -> Any:
            if dist.get_world_size(kwargs.get('group')) > 1:
                tensor = args[argument]
                sizes.append(tensor.numel() * tensor.element_size())
            return function(*args, **kwargs)

        return counted

    with mock.patch.object(dist, 'all_reduce', counting(dist.all_reduce, 0)), \
            mock.patch.object(dist, 'all_gather',
                              counting(dist.all_gather, 1)), \
            mock.patch.object(dist, 'broadcast', counting(dist.broadcast, 0)):
        yield sizes


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """The most memory that this block held of what it allocated itself.

    Yields:
        list[int]: Empty, and with the bytes as its element afterwards.
    """
    peak: list[int] = []
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield peak
        peak.append(torch.cuda.max_memory_allocated() - before)
        return
    with profile(
            activities=[ProfilerActivity.CPU], profile_memory=True) as trace:
        yield peak
    events = [
        event for event in trace.profiler.kineto_results.events()
        if event.name() == '[memory]'
    ]
    held = most = 0
    for event in sorted(events, key=_start):
        held += event.nbytes()
        most = max(most, held)
    peak.append(most)


def _start(event: Any) -> int:
    """When it was; torch 2.3 and older count in microseconds."""
    return (event.start_ns if hasattr(event, 'start_ns') else event.start_us)()
