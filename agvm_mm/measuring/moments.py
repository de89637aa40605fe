"""The second moments that optimizers keep, and divide the gradient by.

Each function finds, in the state that an optimizer keeps of one parameter, v
and eps such that the direction is ``gradient / (sqrt(v) + eps)``. It returns
None where the state holds no such v, as before the first step.
"""
from __future__ import annotations

from typing import Any, Callable, Mapping, Optional, Tuple

import torch
from torch import Tensor

State = Mapping[str, Any]
Moment = Optional[Tuple[Tensor, float]]
MomentOf = Callable[[State, State], Moment]


def of_adam(state: State, group: State) -> Moment:
    """Adam's; with amsgrad, their running maximum."""
    return _with_eps(state.get('max_exp_avg_sq', state.get('exp_avg_sq')),
                     group)


def of_adabelief(state: State, group: State) -> Moment:
    """AdaBelief's: of the gradient less its mean."""
    return _with_eps(state.get('max_exp_avg_var', state.get('exp_avg_var')),
                     group)


def of_adagrad(state: State, group: State) -> Moment:
    """Adagrad's: the sum of all squares."""
    return _with_eps(state.get('sum'), group)


def of_rmsprop(state: State, group: State) -> Moment:
    """RMSprop's; centred, they are less the squared mean."""
    moment, mean = state.get('square_avg'), state.get('grad_avg')
    if moment is not None and mean is not None:
        moment = moment.addcmul(mean, mean, value=-1)
    return _with_eps(moment, group)


def of_adamax(state: State, group: State) -> Moment:
    """Adamax divides by a maximum, with eps inside."""
    maximum = state.get('exp_inf')
    return None if maximum is None else (maximum.square(), 0.0)


def of_adadelta(state: State, group: State) -> Moment:
    """Adadelta multiplies by the root of its own past steps' squares, too."""
    squares, steps = state.get('square_avg'), state.get('acc_delta')
    if squares is None or steps is None:
        return None
    eps = float(group['eps'])
    return (squares + eps) / (steps + eps), 0.0


def of_bitsandbytes(state: State, group: State) -> Moment:
    """That of bitsandbytes' optimizers with two states."""
    return _with_eps(_unpacked(state, '2'), group)


def of_bitsandbytes_with_one(state: State, group: State) -> Moment:
    """That of bitsandbytes' optimizers with a single state."""
    return _with_eps(_unpacked(state, '1'), group)


def _with_eps(moment: Tensor | None, group: State) -> Moment:
    return None if moment is None else (moment, float(group['eps']))


def _unpacked(state: State, which: str) -> Tensor | None:
    """A state of bitsandbytes, which may be packed in 8 bits, by blocks."""
    packed = state.get(f'state{which}')
    if packed is None or packed.dtype != torch.uint8:
        return packed
    values, scales = state.get(f'qmap{which}'), state.get(f'absmax{which}')
    if values is None or scales is None:
        return None
    # The size of a block is not kept: 256, or in older versions 2048.
    size = 1
    while -(-packed.numel() // size) > scales.numel():
        size *= 2
    scale = scales.repeat_interleave(size)[:packed.numel()]
    return (values[packed.flatten().long()] * scale).view_as(packed)
