"""The one buffer of the paper's estimator: half of the update's gradient."""
from __future__ import annotations

from typing import Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from .direction import Gradient, Parameter, update_directions
from .variance import half_batch_variance


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
        # Module by module: the temporary copies are of one module's size.
        variance = torch.full((num_modules, ),
                              float('nan'),
                              dtype=torch.float64,
                              device=self.flat.device)
        for module in range(num_modules):
            members = [p for p in parameters if p.module == module]
            ours = [(p, self._pieces[p.tensor]) for p in members]
            other = [(p, p.tensor.grad - half) for p, half in ours]
            vectors = [[
                direction.flatten()
                for _, direction in update_directions(optimizer, half)
            ] for half in (ours, other)]
            if vectors[0]:
                g1, g2 = map(torch.cat, vectors)
                variance[module] = half_batch_variance(g1, g2)
        return variance
