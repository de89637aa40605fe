"""From gradients to update directions, which is what AGVM compares.

For SGD the direction is the gradient itself.  For the Adam family it is the
gradient over sqrt(v) + eps, with v the second moment *before* this update, so
that the map is linear and the same for every replica. ``optimizer_table.py``
says which optimizer is of which kind.
"""
from __future__ import annotations

from typing import Iterator, Mapping, NamedTuple, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .foreach import foreach_add_, foreach_div, foreach_norm, foreach_sqrt
from .treatment import treatment_of

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
        name (str): Its name in the model.
    """
    tensor: nn.Parameter
    module: int
    group: dict
    name: str


Gradient = Tuple[Parameter, Tensor]


def parameters_of(optimizer: Optimizer, modules: Sequence[str],
                  names: Mapping[nn.Parameter, str]) -> list[Parameter]:
    """The parameters of an optimizer that can have a gradient to measure.

    Args:
        optimizer (Optimizer): Its groups name their module in
            ``group['module']``.
        modules (Sequence[str]): The modules' names. A group of another module
            is left out.
        names (Mapping[nn.Parameter, str]): The parameters' names.
    """
    index = {module: i for i, module in enumerate(modules)}
    return [
        Parameter(tensor, index[group['module']], group,
                  names.get(tensor, 'a parameter'))
        for group in optimizer.param_groups
        if group.get('module') in index for tensor in group['params']
        if tensor.requires_grad
    ]


def unscaled(gradients: Sequence[Gradient],
             inverse_scale: Tensor | None) -> Sequence[Gradient]:
    """Take the loss scale out of gradients; without one, they stay.

    Args:
        gradients (Sequence[tuple[Parameter, Tensor]]): They are not changed.
        inverse_scale (Tensor, optional): 1 / the loss scale, a scalar.
    """
    if inverse_scale is None:
        return gradients
    return [(p, in_single(grad) * inverse_scale) for p, grad in gradients]


def in_single(tensor: Tensor) -> Tensor:
    """In single precision at least: a half has no room for squares."""
    if tensor.dtype in (torch.float16, torch.bfloat16):
        return tensor.float()
    return tensor


def dense(grad: Tensor) -> Tensor:
    """A gradient as a whole; that of a sparse embedding lists its rows."""
    return grad if grad.layout == torch.strided else grad.to_dense()


def chunks(gradients: Sequence[Gradient]) -> Iterator[list[Gradient]]:
    """Cut gradients into runs of about ``CHUNK`` elements.

    Args:
        gradients (Sequence[tuple[Parameter, Tensor]]): Of any sizes.

    Yields:
        list[tuple[Parameter, Tensor]]: In the same order, at least one in
        each.
    """
    chunk: list[Gradient] = []
    numel = 0
    for parameter, grad in gradients:
        chunk.append((parameter, grad))
        numel += grad.numel()
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
        list[tuple[Parameter, Tensor]]: Directions, in the same order. A
        parameter whose optimizer has no second moments of it, as before its
        first step, has no direction and is left out.
    """
    moment_of = treatment_of(optimizer).moment
    if moment_of is None:
        return list(gradients)
    known, moments, epsilons = [], [], []
    for parameter, grad in gradients:
        state = optimizer.state.get(parameter.tensor)
        found = moment_of(state, parameter.group) if state else None
        if found is None or found[0].shape != grad.shape:
            continue
        known.append((parameter, in_single(grad)))
        moments.append(in_single(found[0]))
        epsilons.append(found[1])
    if not known:
        return []
    parameters, grads = zip(*known)
    denominators = foreach_sqrt(moments)
    foreach_add_(denominators, epsilons)
    return list(zip(parameters, foreach_div(grads, denominators)))


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
        norms = foreach_norm([in_single(t) for t in tensors])
        # In double precision from here on: S is a small difference. The
        # parameters of a module may differ in their precision.
        yield module, torch.stack(norms).double().square().sum()
