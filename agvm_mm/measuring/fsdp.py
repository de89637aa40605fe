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

Hybrid sharding reduces in two steps: a reduce-scatter within the ranks that
share a copy of the model, then an all-reduce over the copies. FSDP leaves both
to the hook. The replicas are those of all ranks; each copy's ranks square the
sum that they hold, and the scalars are summed over all.
"""
from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import Any, Callable, Iterator, Mapping, Sequence

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

from .ddp import check_devices, check_process_group
from .direction import Gradient, Parameter, parameters_of, unscaled
from .treatment import treatment_of

# What a unit and its flat parameter must have: none of it is public.
UNIT = ('_handle', '_comm_hook', '_comm_hook_state',
        '_gradient_predivide_factor', '_gradient_postdivide_factor')
FLAT_PARAM = ('_params', '_numels_with_padding', '_is_padding_mask',
              '_shard_param_infos')
HYBRID = (ShardingStrategy.HYBRID_SHARD, ShardingStrategy._HYBRID_SHARD_ZERO2)
SHARDED = (ShardingStrategy.FULL_SHARD, ShardingStrategy.SHARD_GRAD_OP,
           *HYBRID)


class FSDPReplicas:
    """The :class:`~agvm_mm.measuring.replicas.Replicas` of sharded models.

    Args:
        optimizer (Optimizer): See :class:`~agvm_mm.measuring.ddp.DDPReplicas`.
        modules (Sequence[str]): The modules' names.
        names (Mapping[nn.Parameter, str]): The parameters' names.
        estimator (str): 'replica'.
        model (FSDP): The model as it will be trained.

    Raises:
        ValueError: If FSDP does not shard the gradients, or leaves ranks out,
            or if the estimator is another.
    """

    # A rank never holds the sum of two backward passes, unsharded.
    joins_passes = False

    def __init__(self, optimizer: Optimizer, modules: Sequence[str],
                 names: Mapping[nn.Parameter, str], *, estimator: str,
                 model: FSDP) -> None:
        if estimator != 'replica':
            raise ValueError(
                f'agvm.estimator={estimator!r} keeps a whole gradient, which '
                "FSDP never holds; under FSDP it must be 'replica'")
        self.optimizer = optimizer
        self.modules = list(modules)
        self.names = names
        self.num_modules = len(self.modules)
        self.num_ranks = dist.get_world_size()
        if self.num_ranks < 2:
            raise ValueError(
                'FSDP shards nothing in a single process: launch two or more '
                '(bash tools/dist_train.sh CONFIG 2), or leave it out')
        _check_torch(model)
        self.units = [m for m in FSDP.fsdp_modules(model) if m._handle]
        # A rank holds a shard of the mean gradient, not a copy of it, and so
        # does a rank of each other copy of the model.
        self.mean_copies = _copies(model)
        for unit in self.units:
            if unit.cpu_offload.offload_params:
                raise ValueError(
                    'AGVM measures where the gradients are made, but FSDP '
                    'moves them to the CPU: set cpu_offload=False in '
                    'model_wrapper')
            if (unit.sharding_strategy not in SHARDED
                    or _copies(unit) != self.mean_copies):
                raise ValueError(
                    'AGVM measures FSDP with sharding_strategy '
                    f'{" or ".join(s.name for s in SHARDED)}, the same for '
                    f'all units, but a {type(unit.module).__name__} has '
                    f'{unit.sharding_strategy.name}. Set it, or train with '
                    'DistributedDataParallel')
            ranks = unit.process_group.size() * self.mean_copies
            if unit.sharding_strategy in HYBRID and ranks == self.num_ranks:
                continue
            check_process_group(unit.process_group)

    def check(self, model: nn.Module | None, micro_batches: int) -> None:
        """Refuse some devices; of the model, all is known from the start."""
        check_devices(self.parameters())

    def parameters(self) -> list[Parameter]:
        """The parameters whose gradients are measured."""
        return parameters_of(self.optimizer, self.modules, self.names)

    def half_batch(self, parameters: Sequence[Parameter]) -> None:
        """The estimator of half batches is refused."""

    @contextmanager
    def watch(self, loss: Tensor, parameters: Sequence[Parameter],
              take: Callable[[list[Gradient], float], None],
              inverse_scale: Tensor | None,
              weight: float) -> Iterator[Callable[[], bool]]:
        """Hand out the gradients of the backward pass that runs within."""
        reduced: list[FSDP] = []
        by_tensor = {p.tensor: p for p in parameters}
        preconditioned = treatment_of(self.optimizer).moment is not None

        def hook(reduce: Callable, unit: FSDP, grad: Tensor,
                 output: Tensor) -> None:
            reduced.append(unit)
            held = [
                by_tensor.get(p) for p in unit._handle.flat_param._params
            ]
            if preconditioned:
                take(
                    _roots_of_squares(unit, held, inverse_scale, grad, output,
                                      weight), 1)
            else:
                take(
                    unscaled(_of_whole(unit, held, grad), inverse_scale),
                    weight)
            reduce(grad, output)

        hooks = [(unit._comm_hook, unit._comm_hook_state)
                 for unit in self.units]
        for unit, (own, state) in zip(self.units, hooks):
            reduce: Any = partial(own or reduce_scatter_hook, state
                                  or DefaultState(unit.process_group))
            if unit.sharding_strategy in HYBRID:  # They take no other hook.
                reduce = partial(_reduce_twice, unit)
            unit._comm_hook = partial(hook, reduce)
            unit._comm_hook_state = unit
        try:
            # Inside of FSDP's no_sync it adds up, and reduces later.
            yield lambda: bool(reduced)
        finally:
            for unit, (own, state) in zip(self.units, hooks):
                unit._comm_hook, unit._comm_hook_state = own, state


def _check_torch(model: FSDP) -> None:
    """Refuse a torch whose FSDP is another inside, as that of torch 2.0."""
    inside = [(model, name) for name in UNIT]
    if getattr(model, '_handle', None):
        inside += [(model._handle.flat_param, name) for name in FLAT_PARAM]
    missing = [name for owner, name in inside if not hasattr(owner, name)]
    if missing:
        raise ValueError(
            'AGVM measures FullyShardedDataParallel of torch 2.1 or newer, '
            f'but that of torch {torch.__version__} has no '
            f'{", ".join(missing)}: change torch, or train with '
            'DistributedDataParallel')


def _copies(unit: FSDP) -> int:
    """How many times a unit's parameters are there, in shards."""
    if unit.sharding_strategy in HYBRID:
        return unit._inter_node_pg.size()
    return 1


def _reduce_twice(unit: FSDP, grad: Tensor, output: Tensor) -> None:
    """What hybrid sharding does without a hook."""
    grad.div_(unit._gradient_predivide_factor)
    dist.reduce_scatter_tensor(output, grad, group=unit.process_group)
    dist.all_reduce(output, group=unit._inter_node_pg)
    output.div_(unit._gradient_postdivide_factor)


def _roots_of_squares(unit: FSDP, held: list[Parameter | None],
                      inverse_scale: Tensor | None, grad: Tensor,
                      output: Tensor, weight: float) -> list[Gradient]:
    """What in a rank's shard has the squares of all ranks' replicas."""
    grad = grad.float()
    if inverse_scale is not None:
        grad = grad * inverse_scale
    squares = torch.empty_like(output, dtype=torch.float32)
    # Each rank has a weight of its own, so it goes in before the sum.
    dist.reduce_scatter_tensor(
        squares, grad.square().div_(weight), group=unit.process_group)
    return _of_shard(unit, held, squares.sqrt_())


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
