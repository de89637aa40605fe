"""Tells how many iterations an update has, which MMEngine keeps to itself.

A public ``accumulative_counts`` of ``OptimWrapper`` would let this go.
"""
from __future__ import annotations

from typing import Any


def micro_batches(optim_wrapper: Any) -> int:
    """The micro-batches of one update.

    Args:
        optim_wrapper (OptimWrapper or OptimWrapperDict): Of a runner.
    """
    wrappers = getattr(optim_wrapper, 'optim_wrappers', {None: optim_wrapper})
    return max(
        getattr(wrapper, '_accumulative_counts', 1)
        for wrapper in wrappers.values())
