"""Gradient clipping, where MMEngine's is not what a run needs."""
from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator

from mmengine.optim import OptimWrapper
from torch import nn
from torch.nn.utils import clip_grad_norm_

from agvm_mm.measuring.replicas import is_sharded


def clip_all_shards(optim_wrapper: OptimWrapper,
                    model: nn.Module | None) -> None:
    """Clip by the norm of the whole gradient where FSDP shards it.

    MMEngine would clip each rank by the norm of its shard.

    Args:
        optim_wrapper (OptimWrapper): Its ``clip_func`` is replaced.
        model (nn.Module, optional): The model.
    """
    if (model is not None and is_sharded(model)
            and optim_wrapper.clip_grad_kwargs
            and optim_wrapper.clip_func is clip_grad_norm_):
        optim_wrapper.clip_func = lambda parameters, **kwargs: (
            model.clip_grad_norm_(**kwargs))


@contextmanager
def clipping(optim_wrapper: OptimWrapper,
             clip_grad_range: tuple[int, int] | None,
             update: int) -> Iterator[None]:
    """Switch ``clip_grad`` off outside of its range, while this is open.

    Args:
        optim_wrapper (OptimWrapper): Whose step runs within.
        clip_grad_range (tuple[int, int], optional): First and last update,
            half-open; None for all of them.
        update (int): The update.
    """
    kwargs = optim_wrapper.clip_grad_kwargs
    if clip_grad_range is not None:
        first, last = clip_grad_range
        if not first <= update < last:
            optim_wrapper.clip_grad_kwargs = None
    try:
        yield
    finally:
        optim_wrapper.clip_grad_kwargs = kwargs
