"""Many tensors in one call, where torch can.

Its optimizers use the same functions, but none of them is public: where one
is missing, each tensor is taken by itself.
"""
from __future__ import annotations

from typing import Callable, Sequence

import torch
from torch import Tensor


def foreach_norm(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """The Euclidean norms of tensors."""
    return _foreach('norm', torch.linalg.vector_norm)(tensors)


def foreach_sqrt(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """The square roots of tensors."""
    return _foreach('sqrt', torch.sqrt)(tensors)


def foreach_div(tensors: Sequence[Tensor],
                others: Sequence[Tensor]) -> Sequence[Tensor]:
    """Tensors over others."""
    return _foreach('div', torch.div)(tensors, others)


def foreach_add_(tensors: Sequence[Tensor],
                 others: Sequence[Tensor] | Sequence[float]) -> None:
    """Add others to tensors, in place."""
    _foreach('add_', Tensor.add_)(tensors, others)


def _foreach(name: str, of_one: Callable) -> Callable:
    together = getattr(torch, f'_foreach_{name}', None)
    return together or (lambda *lists: [of_one(*each) for each in zip(*lists)])
