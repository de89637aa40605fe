"""What the official code does on a measured update, for comparison only.

Sense-X/AGVM, agvm/optim/agvm_optimizer_hook.py, in MMEngine's terms: DDP's
overlapped, bucketed all-reduce is replaced by one all-reduce for each
parameter after the backward pass. A measured update first does so within each
half of the ranks, concatenates all gradients, gathers the copies of one rank
of each half, computes the cosines on rank 0, and broadcasts them.
"""
from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator

import torch
import torch.distributed as dist
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.optim import Optimizer


class OfficialOptimWrapper(OptimWrapper):
    """Measures every update as the official code does, for SGD.

    Args:
        optimizer (Optimizer): Its groups are modules.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        super().__init__(optimizer)
        self.num_ranks = dist.get_world_size()
        half = self.num_ranks // 2
        halves = [
            dist.new_group(list(ranks))
            for ranks in (range(half), range(half, self.num_ranks))
        ]
        self.half = halves[dist.get_rank() >= half]
        # One rank of each half; on machines of 8 GPUs not the first of the
        # second, but one of the machine after it.
        self.pair = [0, min(half + 8, self.num_ranks - 1)]
        self.pair_group = dist.new_group(self.pair)
        self.scale = torch.ones(len(optimizer.param_groups))

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Without DDP's own all-reduce."""
        with super().optim_context(model), model.no_sync():
            yield

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """The backward pass of what two all-reduces in a row add up."""
        scale = self.num_ranks * (self.num_ranks // 2)
        super().backward(loss / scale, **kwargs)

    def step(self, **kwargs: Any) -> None:
        """Measure, all-reduce, and step each module at its rate."""
        gradients = [
            p.grad for group in self.optimizer.param_groups
            for p in group['params'] if p.grad is not None
        ]
        half_sums, flat = self.measure(gradients)
        for grad in gradients:
            dist.all_reduce(grad)
        self.compare(half_sums, flat)
        rates = [group['lr'] for group in self.optimizer.param_groups]
        for group, scale in zip(self.optimizer.param_groups, self.scale):
            group['lr'] *= scale.item()
        super().step(**kwargs)
        for group, rate in zip(self.optimizer.param_groups, rates):
            group['lr'] = rate

    def measure(self, gradients: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        """All-reduce within the halves, concatenate, gather two copies."""
        for grad in gradients:
            dist.all_reduce(grad, group=self.half)
        flat = torch.cat([
            torch.cat([
                p.grad.reshape(-1) for p in group['params']
                if p.grad is not None
            ]) for group in self.optimizer.param_groups
        ])
        half_sums = [torch.zeros_like(flat) for _ in range(2)]
        if dist.get_rank() in self.pair:
            dist.all_gather(half_sums, flat, group=self.pair_group)
        return half_sums, flat

    def compare(self, half_sums: list[Tensor], flat: Tensor) -> None:
        """Cosines on rank 0, factors on all."""
        sizes = [
            sum(p.grad.numel() for p in group['params'] if p.grad is not None)
            for group in self.optimizer.param_groups
        ]
        variance = torch.zeros(len(sizes), device=flat.device)
        if dist.get_rank() == 0:
            first, second = (torch.split(half, sizes) for half in half_sums)
            variance = torch.stack([
                1 - torch.cosine_similarity(a, b, dim=0)
                for a, b in zip(first, second)
            ])
        dist.broadcast(variance, 0)
        ratio = (variance[0] + 1e-6) / (variance + 1e-6)
        target = ratio.clamp(0.5, 10.0).sqrt().cpu()
        self.scale = 0.97 * self.scale + 0.03 * target
