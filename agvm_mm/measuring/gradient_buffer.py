"""A buffer of the gradient's size, for sums over several backward passes."""
from __future__ import annotations

from typing import Sequence

import torch

from .direction import Gradient, Parameter
from .foreach import foreach_add_


class GradientBuffer:
    """Adds gradients up, parameter by parameter.

    Args:
        parameters (Sequence[Parameter]): All that can have a gradient.

    Attributes:
        flat (Tensor): The buffer, 1-d, in the parameters' order, and in the
            highest of their precisions, single at least.
    """

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self.parameters = list(parameters)
        tensors = [p.tensor for p in parameters]
        sizes = [t.numel() for t in tensors]
        dtype = torch.float32
        for tensor in tensors:
            dtype = torch.promote_types(dtype, tensor.dtype)
        self.flat = torch.zeros(
            sum(sizes), dtype=dtype, device=tensors[0].device)
        self.pieces = {
            tensor: piece.view_as(tensor)
            for tensor, piece in zip(tensors, self.flat.split(sizes))
        }

    def add(self, gradients: Sequence[Gradient]) -> None:
        """Add the gradients of some of the parameters."""
        foreach_add_([self.pieces[p.tensor] for p, _ in gradients],
                     [grad for _, grad in gradients])

    def gradients(self) -> list[Gradient]:
        """What was added up, of every parameter."""
        return [(p, self.pieces[p.tensor]) for p in self.parameters]
