"""Sums over the gradient replicas of one update; all communication is here.

A replica is one micro-batch on one data-parallel rank: with R ranks and M
micro-batches (``accumulative_counts``) an update has n = R * M of them, and
the same samples give the same sums, however they are split over ranks and
micro-batches.

On a measured update, and on no other, each backward pass is watched by a
tensor hook per parameter.  DDP is left as it is: its own C++ reducer, or the
user's communication hook, runs untouched, and the other updates run nothing of
this file.
"""
from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator, NamedTuple, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from agvm_mm.algorithm.variance import replica_variance

from .backward_watch import BackwardWatch
from .direction import Gradient, Parameter, chunks, squared_norms
from .half_batch import HalfGradient
from .sample_counter import SampleCounter

ESTIMATORS = ('replica', 'half_batch')


class ReplicaSums(NamedTuple):
    """What a measured update tells, one element a module, equal on all ranks.

    Attributes:
        num_replicas (int): n, ranks x micro-batches.
        num_samples (float): Images in the whole update; 0 if they could not
            be counted.
        sum_sq (Tensor): sum over replicas of |g_r|^2, float64 on the CPU.
        mean_sq (Tensor): |G|^2, float64 on the CPU.
        variance (Tensor): Phi by the chosen estimator, float64 on the CPU.
    """
    num_replicas: int
    num_samples: float
    sum_sq: Tensor
    mean_sq: Tensor
    variance: Tensor


class Replicas:
    """Measures the replicas of an update from inside its backward passes.

    Args:
        optimizer (Optimizer): Its parameter groups name their module in
            ``group['module']``. Gradients are compared as update directions:
            as they are for SGD, divided by sqrt(v) + eps for the Adam family,
            with v the second moment before this update.
        modules (Sequence[str]): The modules' names.
        estimator (str): 'replica', or 'half_batch', which keeps one buffer of
            the gradient's size and, over ranks, all-reduces it within each
            half of them.

    Attributes:
        samples (SampleCounter): Of this rank's part of a measured update.

    Raises:
        ValueError: If the estimator is unknown.
    """

    def __init__(self, optimizer: Optimizer, modules: Sequence[str], *,
                 estimator: str) -> None:
        if estimator not in ESTIMATORS:
            raise ValueError(f'agvm.estimator={estimator!r} is unknown; it '
                             f'must be one of {ESTIMATORS}')
        self.optimizer = optimizer
        self.modules = list(modules)
        self.estimator = estimator
        self.samples = SampleCounter()
        self.num_ranks = _num_ranks()
        # The ranks that hold the same mean gradient.
        self._mean_copies = self.num_ranks
        self._half_group = None
        if estimator == 'half_batch' and self.num_ranks > 1:
            self._half_group = _new_half_group(self.num_ranks)
        self._reset()

    def _reset(self) -> None:
        self._micro_batches = 0
        self.samples.total = 0
        self._sum_sq: list[Tensor | float] = [0.0] * len(self.modules)
        self._half: HalfGradient | None = None

    def check(self, model: nn.Module, accumulative_counts: int) -> None:
        """Refuse, before training starts, what has no replicas to measure.

        Args:
            model (nn.Module): The model as it will be trained, wrapped.
            accumulative_counts (int): Micro-batches of an update.

        Raises:
            ValueError: If an update has a single replica, or if several ranks
                train a model that DDP does not wrap.
        """
        if self.num_ranks * accumulative_counts < 2:
            raise ValueError(
                'AGVM compares gradient replicas, but one process with '
                f'optim_wrapper.accumulative_counts={accumulative_counts} has '
                'a single one. Either launch two or more processes (bash '
                'tools/dist_train.sh CONFIG 2), or set '
                'optim_wrapper.accumulative_counts to 2 or more')
        if self.num_ranks > 1 and not isinstance(model,
                                                 DistributedDataParallel):
            raise ValueError(
                f'AGVM measures {self.num_ranks} ranks under '
                'DistributedDataParallel, but the model is a '
                f'{type(model).__name__}. Set model_wrapper_cfg to '
                'MMDistributedDataParallel, or leave it out')

    @contextmanager
    def observe(self, loss: Tensor, micro_batches: int) -> Iterator[None]:
        """Measure the one backward pass that runs in this context.

        Args:
            loss (Tensor): What the backward pass starts from.
            micro_batches (int): How many this update will have, this one
                included.
        """
        parameters = self._parameters()
        if self.estimator == 'half_batch' and self._half is None:
            self._half = HalfGradient(parameters)
        # Halves are halves of the ranks or, on one rank, of micro-batches.
        self._filling_half = self._half is not None and (
            self.num_ranks > 1 or self._micro_batches < micro_batches // 2)
        with BackwardWatch(parameters, self._take).watch(loss):
            yield
        self._micro_batches += 1

    def finish(self, grad_scale: float = 1.0) -> ReplicaSums | None:
        """Complete the sums, once ``.grad`` holds the mean over the replicas.

        Args:
            grad_scale (float): The loss scale that the gradients still carry.
                Defaults to 1.

        Returns:
            ReplicaSums or None: None if the update has a single replica, as
            the last one of a run may have.
        """
        micro_batches = self._micro_batches
        num_replicas = self.num_ranks * micro_batches
        if num_replicas < 2:
            self._reset()
            return None
        parameters = self._parameters()
        device = parameters[0].tensor.device
        parameters = [p for p in parameters if p.tensor.grad is not None]
        mean_sq = self._mean_sq(parameters)
        # .grad is the mean of the replicas, so a replica's gradient is
        # micro_batches times what its own backward contributed.
        columns = [
            self._to_vector(self._sum_sq, device) * micro_batches**2,
            self._to_vector(mean_sq, device) / self._mean_copies,
        ]
        if self._half is not None:
            if self.num_ranks > 1:
                dist.all_reduce(self._half.flat, group=self._half_group)
                self._half.flat /= self.num_ranks
            columns.append(
                self._half.variance(self.optimizer, parameters,
                                    len(self.modules)) / self.num_ranks)
        samples = torch.full((1, ),
                             self.samples.total,
                             dtype=torch.float64,
                             device=device)
        # mean_sq and Phi are the same on all ranks but for rounding; averaged,
        # they are the same to the bit, and so is every rank's learning rate.
        message = torch.cat([*columns, samples])
        if self.num_ranks > 1:
            dist.all_reduce(message)
        message = message.cpu()
        columns = message[:-1].view(-1, len(self.modules))
        sum_sq, mean_sq = columns[:2] / grad_scale**2
        if self._half is not None:
            variance = columns[2]
        else:
            variance = replica_variance(sum_sq, mean_sq, num_replicas)
        self._reset()
        return ReplicaSums(num_replicas, message[-1].item(), sum_sq, mean_sq,
                           variance)

    def _parameters(self) -> list[Parameter]:
        index = {module: i for i, module in enumerate(self.modules)}
        return [
            Parameter(tensor, index[group['module']], group)
            for group in self.optimizer.param_groups
            for tensor in group['params'] if tensor.requires_grad
        ]

    def _take(self, gradients: list[Gradient]) -> None:
        if self._filling_half:
            self._half.add(gradients)
        self._add_squares(self._sum_sq, gradients)

    def _add_squares(self, sums: list[Tensor | float],
                     gradients: Sequence[Gradient]) -> None:
        for module, square in squared_norms(self.optimizer, gradients):
            sums[module] = sums[module] + square

    def _mean_sq(self, parameters: list[Parameter]) -> list[Tensor | float]:
        """|G|^2 by module, in chunks as the replicas' own."""
        sums: list[Tensor | float] = [0.0] * len(self.modules)
        for chunk in chunks(parameters):
            self._add_squares(sums, [(p, p.tensor.grad) for p in chunk])
        return sums

    def _to_vector(self, sums: list[Tensor | float],
                   device: torch.device) -> Tensor:
        return torch.stack([
            torch.as_tensor(value, dtype=torch.float64, device=device)
            for value in sums
        ])


def _num_ranks() -> int:
    if dist.is_available() and dist.is_initialized():
        return dist.get_world_size()
    return 1


def _new_half_group(num_ranks: int) -> dist.ProcessGroup:
    """This rank's half; every rank must make both groups."""
    halves = (range(num_ranks // 2), range(num_ranks // 2, num_ranks))
    groups = [dist.new_group(list(ranks)) for ranks in halves]
    return groups[dist.get_rank() >= num_ranks // 2]
