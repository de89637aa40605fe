"""The one buffer of the paper's estimator: half of the update's gradient."""
from __future__ import annotations

from functools import partial
from typing import Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from .direction import Gradient, Parameter, chunks, squared_norms


class HalfGradient:
    """Accumulates what one half of the replicas adds to the mean gradient.

    With w the half's share of the replicas, the buffer ends as ``w G_half``,
    and the mean gradient less the buffer is ``(1 - w) G_other``. A cosine
    needs neither w nor equal halves, and the other half needs no buffer.

    Args:
        parameters (Sequence[Parameter]): All that can have a gradient.

    Attributes:
        flat (Tensor): The buffer, 1-d, to be averaged over ranks.
    """

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        tensors = [p.tensor for p in parameters]
        sizes = [t.numel() for t in tensors]
        self.flat = torch.zeros(
            sum(sizes), dtype=tensors[0].dtype, device=tensors[0].device)
        self._pieces = {
            tensor: piece.view_as(tensor)
            for tensor, piece in zip(tensors, self.flat.split(sizes))
        }

    def add(self, gradients: Sequence[Gradient]) -> None:
        """Add gradients of this half."""
        torch._foreach_add_([self._pieces[p.tensor] for p, _ in gradients],
                            [grad for _, grad in gradients])

    def variance(self, optimizer: Optimizer, parameters: Sequence[Parameter],
                 num_modules: int) -> Tensor:
        """Phi between the halves, from the mean gradient in ``.grad``.

        Args:
            optimizer (Optimizer): Whose state holds the second moments.
            parameters (Sequence[Parameter]): Those that have a gradient.
            num_modules (int): How many modules there are.

        Returns:
            Tensor: Phi, float64, one element a module; NaN for a module
            without a direction.
        """
        ones = torch.ones(
            num_modules, dtype=torch.float64, device=self.flat.device)
        squares = partial(self._squares, optimizer, parameters)
        first = squares(ones, 0 * ones)
        second = squares(-ones, ones)
        # |u - v|^2 / 2 of the unit vectors, as in half_batch_variance, with
        # u - v = half / |first| - (mean - half) / |second|.
        to_unit1, to_unit2 = first.rsqrt(), second.rsqrt()
        difference = squares(to_unit1 + to_unit2, -to_unit2)
        return torch.where((first > 0) & (second > 0), difference / 2,
                           float('nan'))

    def _squares(self, optimizer: Optimizer, parameters: Sequence[Parameter],
                 of_half: Tensor, of_mean: Tensor) -> Tensor:
        """Squared norms of ``of_half * half + of_mean * mean`` by module."""
        sums = torch.zeros_like(of_half)
        for module, weights in enumerate(
                zip(of_half.tolist(), of_mean.tolist())):
            members = [p for p in parameters if p.module == module]
            # In chunks, so that no temporary is of the gradient's size.
            for chunk in chunks(members):
                vectors = torch._foreach_mul(
                    [self._pieces[p.tensor] for p in chunk], weights[0])
                torch._foreach_add_(
                    vectors, [p.tensor.grad for p in chunk], alpha=weights[1])
                for _, square in squared_norms(optimizer,
                                               list(zip(chunk, vectors))):
                    sums[module] += square
        return sums
