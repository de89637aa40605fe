"""From gradients to update directions, which is what AGVM compares.

For SGD the direction is the gradient itself.  For the Adam family it is the
gradient over sqrt(v) + eps, with v the second moment *before* this update, so
that the map is linear and the same for every replica.
"""
from __future__ import annotations

from typing import Iterator, NamedTuple, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

# Gradients are taken together in chunks of so many elements (32 MB in single
# precision): one kernel for many small tensors, while what a chunk keeps from
# being freed, and its temporaries, stay far below the whole gradient.
CHUNK = 2**23


class Parameter(NamedTuple):
    """A parameter of an optimizer.

    Attributes:
        tensor (nn.Parameter): The parameter itself.
        module (int): The index of its AGVM module.
        group (dict): Its group in the optimizer.
    """
    tensor: nn.Parameter
    module: int
    group: dict


Gradient = Tuple[Parameter, Tensor]


def chunks(parameters: Sequence[Parameter]) -> Iterator[list[Parameter]]:
    """Cut parameters into runs of about ``CHUNK`` elements.

    Args:
        parameters (Sequence[Parameter]): Of any sizes.

    Yields:
        list[Parameter]: In the same order, at least one in each.
    """
    chunk: list[Parameter] = []
    numel = 0
    for parameter in parameters:
        chunk.append(parameter)
        numel += parameter.tensor.numel()
        if numel >= CHUNK:
            yield chunk
            chunk, numel = [], 0
    if chunk:
        yield chunk


def update_directions(optimizer: Optimizer,
                      gradients: Sequence[Gradient]) -> list[Gradient]:
    """Turn gradients into update directions.

    Args:
        optimizer (Optimizer): Whose state holds the second moments.
        gradients (Sequence[tuple[Parameter, Tensor]]): Gradients, each of its
            parameter's shape.

    Returns:
        list[tuple[Parameter, Tensor]]: Directions, in another order perhaps,
        which depends on the parameters alone. A parameter that its Adam has
        not stepped yet has no direction and is left out.
    """
    directions = []
    preconditioned = []
    for parameter, grad in gradients:
        state = optimizer.state.get(parameter.tensor, {})
        # amsgrad divides by the running maximum.
        moment = state.get('max_exp_avg_sq', state.get('exp_avg_sq'))
        if moment is not None:
            preconditioned.append((parameter, grad, moment))
        elif state or not is_adam_like(parameter.group):
            directions.append((parameter, grad))
    if preconditioned:
        parameters, grads, moments = zip(*preconditioned)
        denominators = torch._foreach_sqrt(moments)
        torch._foreach_add_(denominators,
                            [float(p.group['eps']) for p in parameters])
        directions.extend(
            zip(parameters, torch._foreach_div(grads, denominators)))
    return directions


def squared_norms(
        optimizer: Optimizer,
        gradients: Sequence[Gradient]) -> Iterator[tuple[int, Tensor]]:
    """Squared norms of the update directions, summed by module.

    Args:
        optimizer (Optimizer): Whose state holds the second moments.
        gradients (Sequence[tuple[Parameter, Tensor]]): Gradients.

    Yields:
        tuple[int, Tensor]: A module's index, and its sum of squares, a float64
        scalar.
    """
    by_module: dict[int, list[Tensor]] = {}
    for parameter, direction in update_directions(optimizer, gradients):
        by_module.setdefault(parameter.module, []).append(direction)
    for module, tensors in by_module.items():
        # In single precision at least, where parameters are in half.  Norms
        # take a dtype from torch 2.4 on only, so halves are converted first.
        if tensors[0].dtype in (torch.float16, torch.bfloat16):
            tensors = [tensor.float() for tensor in tensors]
        # In double precision from here on: S is a small difference.
        norms = torch.stack(torch._foreach_norm(tensors)).double()
        yield module, norms.square().sum()


def is_adam_like(group: dict) -> bool:
    """Whether an optimizer's group divides by a second moment."""
    return 'betas' in group and 'eps' in group
