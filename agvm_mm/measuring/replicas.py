"""Where the gradients of an update's replicas come from: DDP or FSDP."""
from __future__ import annotations

from typing import Callable, ContextManager, Mapping, Protocol, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .ddp import DDPReplicas
from .direction import Gradient, Parameter
from .half_batch import HalfBatch


class Replicas(Protocol):
    """Where the gradients of the replicas come from.

    Attributes:
        optimizer (Optimizer): Its parameter groups name their module in
            ``group['module']``.
        num_modules (int): How many modules there are.
        num_ranks (int): Data-parallel ranks.
        mean_copies (int): The ranks that hold the same mean gradient.
        joins_passes (bool): Whether the gradients of several backward passes
            can be added up to one replica's.
    """
    optimizer: Optimizer
    num_modules: int
    num_ranks: int
    mean_copies: int
    joins_passes: bool

    def check(self, model: nn.Module | None, micro_batches: int) -> None:
        """Refuse, before training starts, what cannot be measured.

        Args:
            model (nn.Module, optional): As it will be trained, wrapped.
            micro_batches (int): Of an update, on each rank.

        Raises:
            ValueError: If an update has a single replica, or if the ranks
                train a model that cannot be seen into.
        """

    def parameters(self) -> list[Parameter]:
        """The parameters whose gradients are measured."""

    def half_batch(self, parameters: Sequence[Parameter]) -> HalfBatch | None:
        """What the estimator of half batches keeps; None for the other one."""

    def watch(
        self, loss: Tensor, parameters: Sequence[Parameter],
        take: Callable[[list[Gradient], float],
                       None], inverse_scale: Tensor | None, weight: float
    ) -> ContextManager[Callable[[], bool]]:
        """Hand out the gradients of the backward pass that runs within.

        Args:
            loss (Tensor): What the backward pass starts from.
            parameters (Sequence[Parameter]): From :meth:`parameters`.
            take (Callable): Is called with chunks of gradients, before they
                are averaged over ranks and without the loss scale, and what
                their squares are still to be divided by. It must not keep
                them.
            inverse_scale (Tensor, optional): 1 / the loss scale, a scalar.
            weight (float): What the loss was multiplied by; the squares of
                the gradients are to be divided by it.

        Returns:
            ContextManager: Gives a function that says, afterwards, whether
            the pass completed a replica.
        """


def replicas_of(optimizer: Optimizer, modules: Sequence[str],
                names: Mapping[nn.Parameter, str], *, estimator: str,
                model: nn.Module | None) -> Replicas:
    """The replicas that a model will have.

    Args:
        optimizer (Optimizer): Its parameter groups name their module in
            ``group['module']``.
        modules (Sequence[str]): The modules' names.
        names (Mapping[nn.Parameter, str]): The parameters' names.
        estimator (str): 'replica' or 'half_batch'.
        model (nn.Module, optional): The model; FSDP may wrap it.

    Raises:
        ValueError: If the estimator, or how FSDP shards, cannot be measured.
    """
    if model is None or not is_sharded(model):
        return DDPReplicas(optimizer, modules, names, estimator=estimator)
    try:
        from .fsdp import FSDPReplicas
    except ImportError as error:  # of what is not public in torch
        raise ValueError(
            'AGVM cannot measure FullyShardedDataParallel of torch '
            f'{torch.__version__} ({error}): change torch, or train with '
            'DistributedDataParallel') from error

    return FSDPReplicas(
        optimizer, modules, names, estimator=estimator, model=model)


def is_sharded(model: nn.Module) -> bool:
    """Whether FSDP wraps a model."""
    from torch.distributed.fsdp import FullyShardedDataParallel

    return isinstance(model, FullyShardedDataParallel)
