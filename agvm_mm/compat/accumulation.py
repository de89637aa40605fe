"""Tells how many iterations an update has, which MMEngine keeps to itself.

A public ``accumulative_counts`` of ``OptimWrapper`` would let this go.
"""
from __future__ import annotations

from typing import Any

from .optim_wrapper_dict import wrappers_in


def micro_batches(optim_wrapper: Any) -> int:
    """The micro-batches of one update.

    Args:
        optim_wrapper (OptimWrapper or OptimWrapperDict): Of a runner.
    """
    return max(
        getattr(wrapper, '_accumulative_counts', 1)
        for wrapper in wrappers_in(optim_wrapper).values())
