"""Sums over the gradient replicas of a model that FSDP shards.

A replica is what one rank hands to one reduction: under MMEngine each
micro-batch is reduced by itself, so there are ranks x micro-batches of them,
as under DDP.  On a measured update, and on no other, each FSDP unit carries a
communication hook, which sees the rank's own unsharded gradient before the
reduce-scatter:

- for SGD it takes the squared norms of the gradient itself, and nothing but
  scalars moves between the ranks;
- for the Adam family the second moments are in shards, so the squared
  gradient is reduce-scattered too, one message of the gradient's size: each
  rank then divides the sum over the replicas by its shard of the moments.
"""
from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import Any, Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms._comm_hooks.default_hooks import (
    DefaultState,
    reduce_scatter_hook,
)
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP
from torch.distributed.fsdp import ShardingStrategy
from torch.optim import Optimizer

from .ddp import Replicas
from .direction import Gradient, Parameter, is_adam_like

SHARDED = (ShardingStrategy.FULL_SHARD, ShardingStrategy.SHARD_GRAD_OP)


class ShardedReplicas(Replicas):
    """Measures the replicas of an update from FSDP's communication.

    Args:
        optimizer (Optimizer): See :class:`~agvm_mm.measuring.ddp.Replicas`.
        modules (Sequence[str]): The modules' names.
        estimator (str): 'replica'.
        model (FSDP): The model as it will be trained.

    Raises:
        ValueError: If FSDP does not shard the gradients over all ranks, or
            if the estimator is another.
    """

    def __init__(self, optimizer: Optimizer, modules: Sequence[str], *,
                 estimator: str, model: FSDP) -> None:
        if estimator != 'replica':
            raise ValueError(
                f'agvm.estimator={estimator!r} keeps a whole gradient, which '
                "FSDP never holds; under FSDP it must be 'replica'")
        super().__init__(optimizer, modules, estimator=estimator)
        if self.num_ranks < 2:
            raise ValueError(
                'FSDP shards nothing in a single process: launch two or more '
                '(bash tools/dist_train.sh CONFIG 2), or leave it out')
        self.units = [m for m in FSDP.fsdp_modules(model) if m._handle]
        for unit in self.units:
            if unit.sharding_strategy not in SHARDED:
                raise ValueError(
                    f'AGVM measures FSDP with {" or ".join(map(str, SHARDED))}'
                    f', but a {type(unit.module).__name__} has '
                    f'{unit.sharding_strategy}. Set sharding_strategy, or '
                    'train with DistributedDataParallel')
        # A rank holds a shard of the mean gradient, not a copy of it.
        self._mean_copies = 1

    def check(self, model: nn.Module, accumulative_counts: int) -> None:
        """Nothing is left to refuse: the model is known from the start.

        Args:
            model (nn.Module): The model as it will be trained, wrapped.
            accumulative_counts (int): Micro-batches of an update.
        """

    @contextmanager
    def observe(self, loss: Tensor, micro_batches: int) -> Iterator[None]:
        """Measure the backward pass of this context.

        Args:
            loss (Tensor): What the backward pass starts from.
            micro_batches (int): How many this update will have.
        """
        self._reduced = False
        parameters = {p.tensor: p for p in self._parameters()}
        hooks = [(unit._comm_hook, unit._comm_hook_state)
                 for unit in self.units]
        for unit, (hook, state) in zip(self.units, hooks):
            reduce = partial(hook or reduce_scatter_hook, state
                             or DefaultState(unit.process_group))
            unit._comm_hook = partial(self._reduce, reduce, parameters)
            unit._comm_hook_state = unit
        try:
            yield
            # Inside of FSDP's no_sync it adds up, and reduces later.
            self._micro_batches += self._reduced
        finally:
            for unit, (hook, state) in zip(self.units, hooks):
                unit._comm_hook, unit._comm_hook_state = hook, state

    def _reduce(self, reduce: Any, parameters: dict[Tensor, Parameter],
                unit: FSDP, grad: Tensor, output: Tensor) -> None:
        """FSDP's communication hook: measure, then do as without AGVM."""
        self._reduced = True
        held = [parameters.get(p) for p in unit._handle.flat_param._params]
        if any(p is not None and is_adam_like(p.group) for p in held):
            squares = torch.empty_like(output, dtype=torch.float32)
            dist.reduce_scatter_tensor(
                squares, grad.float().square(), group=unit.process_group)
            gradients = _of_shard(unit, held, squares.sqrt_())
        else:
            gradients = _of_whole(unit, held, grad)
        self._add_squares(self._sum_sq, gradients)
        reduce(grad, output)


def _of_whole(unit: FSDP, held: list[Parameter | None],
              flat: Tensor) -> list[Gradient]:
    """Cut a unit's unsharded gradient into those of its parameters."""
    flat_param = unit._handle.flat_param
    sizes = flat_param._numels_with_padding
    pieces = torch.split(flat[:sum(sizes)], sizes)
    own = (piece for piece, padding in zip(pieces, flat_param._is_padding_mask)
           if not padding)
    return [(p, piece) for p, piece in zip(held, own) if p is not None]


def _of_shard(unit: FSDP, held: list[Parameter | None],
              shard: Tensor) -> list[Gradient]:
    """Cut a rank's shard of a unit's gradient into those of its parameters."""
    return [
        (p, shard[info.offset_in_shard:][:info.numel_in_shard])
        for p, info in zip(held, unit._handle.flat_param._shard_param_infos)
        if p is not None and info.in_shard
    ]
