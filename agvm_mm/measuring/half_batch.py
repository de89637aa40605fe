"""The paper's estimator: the cosine of two half batches' gradients."""
from __future__ import annotations

from typing import Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torch.optim import Optimizer

from .direction import Gradient, Parameter, chunks, squared_norms
from .gradient_buffer import GradientBuffer


def new_half_group(num_ranks: int) -> dist.ProcessGroup | None:
    """The process group of this rank's half of the ranks.

    Every rank must call it. Halves of a single rank are halves of its
    micro-batches, and need no group.

    Args:
        num_ranks (int): Data-parallel ranks.
    """
    if num_ranks == 1:
        return None
    halves = (range(num_ranks // 2), range(num_ranks // 2, num_ranks))
    groups = [dist.new_group(list(ranks)) for ranks in halves]
    return groups[dist.get_rank() >= num_ranks // 2]


class HalfBatch:
    """Accumulates what one half of the replicas adds to the mean gradient.

    With w the half's share of the replicas, the buffer ends as ``w G_half``,
    and the mean gradient less the buffer is ``(1 - w) G_other``. A cosine
    needs neither w nor equal halves, and the other half needs no buffer.

    Args:
        parameters (Sequence[Parameter]): All that can have a gradient.
        num_ranks (int): Data-parallel ranks.
        group (ProcessGroup, optional): Of this rank's half, from
            :func:`new_half_group`.
    """

    def __init__(self, parameters: Sequence[Parameter], num_ranks: int,
                 group: dist.ProcessGroup | None) -> None:
        self.num_ranks = num_ranks
        self.group = group
        self.buffer = GradientBuffer(parameters)

    def variance(self, optimizer: Optimizer, mean: Sequence[Gradient],
                 inverse_scale: Tensor | None, num_modules: int) -> Tensor:
        """Phi between the halves. A collective, of the gradient's size.

        Args:
            optimizer (Optimizer): Whose state holds the second moments.
            mean (Sequence[tuple[Parameter, Tensor]]): The mean gradient, with
                the loss scale.
            inverse_scale (Tensor, optional): 1 / the loss scale, a scalar.
            num_modules (int): How many modules there are.

        Returns:
            Tensor: Phi, float64, one element a module; NaN for a module
            without a direction.
        """
        if self.num_ranks > 1:
            dist.all_reduce(self.buffer.flat, group=self.group)
            self.buffer.flat /= self.num_ranks
        ones = torch.ones(
            num_modules, dtype=torch.float64, device=self.buffer.flat.device)
        of_mean = ones if inverse_scale is None else ones * inverse_scale
        first = self._squares(optimizer, mean, ones, 0 * ones)
        second = self._squares(optimizer, mean, -ones, of_mean)
        # |u - v|^2 / 2 of the unit vectors, as in half_batch_variance, with
        # u - v = half / |first| - (mean - half) / |second|.
        to_unit1, to_unit2 = first.rsqrt(), second.rsqrt()
        difference = self._squares(optimizer, mean, to_unit1 + to_unit2,
                                   -to_unit2 * of_mean)
        return torch.where((first > 0) & (second > 0), difference / 2,
                           float('nan'))

    def _squares(self, optimizer: Optimizer, mean: Sequence[Gradient],
                 of_half: Tensor, of_mean: Tensor) -> Tensor:
        """Squared norms of ``of_half * half + of_mean * mean`` by module."""
        sums = torch.zeros_like(of_half)
        for module, (weight_half, weight_mean) in enumerate(
                zip(of_half, of_mean)):
            members = [(p, g) for p, g in mean if p.module == module]
            # In chunks, so that no temporary is of the gradient's size.
            for chunk in chunks(members):
                # The weights stay on the device: nobody waits for them.
                vectors = [(p, (self.buffer.pieces[p.tensor] *
                                weight_half).addcmul_(grad, weight_mean))
                           for p, grad in chunk]
                for _, square in squared_norms(optimizer, vectors):
                    sums[module] += square
        return sums
