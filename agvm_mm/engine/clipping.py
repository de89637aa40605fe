"""Gradient clipping, where MMEngine's is not what a run needs."""
from __future__ import annotations

import inspect
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any, Iterator

from mmengine.optim import OptimWrapper
from torch import nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from agvm_mm.measuring.replicas import is_sharded

from .options import is_int

# By MMEngine's clip_grad['type'].
FUNCTIONS = dict(norm=clip_grad_norm_, value=clip_grad_value_)


def check_clipping(clip_grad: Any, clip_grad_range: Any,
                   model: nn.Module | None) -> None:
    """Refuse a clipping that would end the first step.

    Args:
        clip_grad (dict, optional): The wrapper's option; None for none.
        clip_grad_range (tuple[int, int], optional): When to clip.
        model (nn.Module, optional): The model, which under FSDP clips itself.

    Raises:
        ValueError: If one of the two is none, or what clips does not take it,
            or if the range limits no clipping.
    """
    if clip_grad_range is not None:
        if not (isinstance(clip_grad_range,
                           (list, tuple)) and len(clip_grad_range) == 2
                and all(is_int(u, 0) for u in clip_grad_range)
                and clip_grad_range[0] < clip_grad_range[1]):
            raise ValueError(
                f'clip_grad_range={clip_grad_range!r} must be two updates '
                '(first, last) with 0 <= first < last, or None')
        if clip_grad is None:
            raise ValueError(
                f'clip_grad_range={clip_grad_range!r} without clip_grad has '
                'nothing to limit: set clip_grad too, as '
                'clip_grad=dict(max_norm=1.0), or leave clip_grad_range out')
    if clip_grad is None:
        return
    told = f'optim_wrapper.clip_grad={clip_grad!r}'
    if not isinstance(clip_grad, dict):
        raise ValueError(f'{told} must be a dict or None, as '
                         'clip_grad=dict(max_norm=35, norm_type=2)')
    settings = dict(clip_grad)
    kind = settings.pop('type', 'norm')
    if kind not in FUNCTIONS:
        raise ValueError(f"{told}: its type must be 'norm' or 'value'")
    if kind == 'norm' and model is not None and is_sharded(model):
        where, taken = 'FSDP', inspect.signature(model.clip_grad_norm_)
    else:
        where, taken = 'torch', inspect.signature(FUNCTIONS[kind])
        taken = taken.replace(parameters=list(taken.parameters.values())[1:])
    try:
        taken.bind(**settings)
    except TypeError as error:
        raise ValueError(
            f'{told}: {error}; clip_grad_{kind}_ of {where} takes '
            f'{", ".join(taken.parameters)}') from error


def clip_as_without_agvm(optim_wrapper: OptimWrapper, model: nn.Module | None,
                         plain_layout: list[list[str]] | None) -> None:
    """Clip by the norm that the gradient has without AGVM, to the bit.

    A norm's last bits depend on the order of what is summed, and AGVM's groups
    have another. Where FSDP shards the gradient, MMEngine would clip each rank
    by the norm of its shard.

    Args:
        optim_wrapper (OptimWrapper): Its ``clip_func`` is replaced.
        model (nn.Module, optional): The model.
        plain_layout (list[list[str]], optional): The parameters' names, group
            by group, without AGVM.
    """
    if (not optim_wrapper.clip_grad_kwargs
            or optim_wrapper.clip_func is not clip_grad_norm_):
        return
    if model is not None and is_sharded(model):
        optim_wrapper._clip_grad = partial(_clip_shards, optim_wrapper, model)
        return
    names = optim_wrapper.groups.names
    place = {
        name: number
        for number, name in enumerate(chain.from_iterable(plain_layout or []))
    }
    optim_wrapper.clip_func = lambda parameters, **kwargs: clip_grad_norm_(
        sorted(parameters, key=lambda p: place.get(names.get(p), len(place))),
        **kwargs)


def _clip_shards(optim_wrapper: OptimWrapper, model: nn.Module) -> None:
    """Clip on every rank: MMEngine asks none that holds no gradient.

    All parameters in a rank's shard may be frozen, and the norm of all shards
    is a collective.
    """
    norm = model.clip_grad_norm_(**optim_wrapper.clip_grad_kwargs)
    optim_wrapper.message_hub.update_scalar(
        f'train/{optim_wrapper.grad_name}', float(norm))


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
        if update == last and kwargs is not None:
            # Or every line of the log to come would repeat the last norms.
            optim_wrapper.message_hub.log_scalars.pop(
                f'train/{optim_wrapper.grad_name}', None)
    try:
        yield
    finally:
        optim_wrapper.clip_grad_kwargs = kwargs
