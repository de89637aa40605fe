"""The replicas of a model that DDP trains, or a single process.

On a measured update, and on no other, each backward pass is watched by a
tensor hook per parameter. DDP is left as it is: its own C++ reducer, or the
user's communication hook, runs untouched, and the other updates run nothing of
this file.
"""
from __future__ import annotations

from contextlib import contextmanager
from typing import Callable, Iterator, Mapping, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from .backward_watch import BackwardWatch
from .direction import Gradient, Parameter, parameters_of, unscaled
from .half_batch import HalfBatch, new_half_group


class DDPReplicas:
    """The :class:`~agvm_mm.measuring.replicas.Replicas` of whole models.

    Args:
        optimizer (Optimizer): Its parameter groups name their module in
            ``group['module']``. Gradients are compared as update directions;
            see ``direction.py``.
        modules (Sequence[str]): The modules' names.
        names (Mapping[nn.Parameter, str]): The parameters' names.
        estimator (str): 'replica', or 'half_batch', which keeps one buffer of
            the gradient's size and, over ranks, all-reduces it within each
            half of them.
    """

    joins_passes = True

    def __init__(self, optimizer: Optimizer, modules: Sequence[str],
                 names: Mapping[nn.Parameter, str], *, estimator: str) -> None:
        self.optimizer = optimizer
        self.modules = list(modules)
        self.names = names
        self.estimator = estimator
        self.num_modules = len(self.modules)
        self.num_ranks = num_ranks()
        self.mean_copies = self.num_ranks
        self._half_group = None
        if estimator == 'half_batch':
            self._half_group = new_half_group(self.num_ranks)

    def check(self, model: nn.Module | None, micro_batches: int) -> None:
        """Refuse a single replica, ranks not joined, and some devices."""
        check_devices(self.parameters())
        check_replicas(self.num_ranks, micro_batches)
        if (self.num_ranks > 1 and model is not None
                and not isinstance(model, DistributedDataParallel)):
            raise ValueError(
                f'AGVM measures {self.num_ranks} ranks under '
                'DistributedDataParallel, but the model is a '
                f'{type(model).__name__}. Set model_wrapper_cfg to '
                'MMDistributedDataParallel, or leave it out')
        for wrapper in model.modules() if model is not None else ():
            if isinstance(wrapper, DistributedDataParallel):
                # MMSeparateDistributedDataParallel has none itself.
                check_process_group(
                    getattr(wrapper, 'process_group', dist.group.WORLD))
                if getattr(wrapper, 'static_graph', False):
                    check_accumulation(micro_batches)

    def parameters(self) -> list[Parameter]:
        """The parameters whose gradients are measured."""
        return parameters_of(self.optimizer, self.modules, self.names)

    def half_batch(self, parameters: Sequence[Parameter]) -> HalfBatch | None:
        """What the estimator of half batches keeps; None for the other one."""
        if self.estimator == 'half_batch':
            return HalfBatch(parameters, self.num_ranks, self._half_group)
        return None

    @contextmanager
    def watch(self, loss: Tensor, parameters: Sequence[Parameter],
              take: Callable[[list[Gradient], float], None],
              inverse_scale: Tensor | None,
              weight: float) -> Iterator[Callable[[], bool]]:
        """Hand out the gradients of the backward pass that runs within."""
        watch = BackwardWatch(
            parameters,
            lambda gradients: take(unscaled(gradients, inverse_scale), weight))
        with watch.watch(loss):
            yield lambda: True


def check_replicas(num_ranks: int, micro_batches: int) -> None:
    """Refuse an update of a single replica.

    Args:
        num_ranks (int): Data-parallel ranks.
        micro_batches (int): Of an update, on each rank.

    Raises:
        ValueError: If there is nothing to compare.
    """
    if num_ranks * micro_batches < 2:
        raise ValueError(
            'AGVM compares gradient replicas, but one process with '
            f'optim_wrapper.accumulative_counts={micro_batches} has a '
            'single one. Either launch two or more processes (bash '
            'tools/dist_train.sh CONFIG 2), or set '
            'optim_wrapper.accumulative_counts to 2 or more')


def check_devices(parameters: Sequence[Parameter]) -> None:
    """Refuse gradients that cannot be summed in double precision.

    Args:
        parameters (Sequence[Parameter]): That are measured.

    Raises:
        ValueError: If they are on several devices, or on one that has no
            double precision.
    """
    devices = {p.tensor.device for p in parameters}
    if len(devices) > 1:
        raise ValueError(
            'AGVM measures a model whose parameters are on one device, but '
            f'they are on {", ".join(sorted(map(str, devices)))}')
    for device in devices:
        try:
            torch.zeros(1, dtype=torch.float64, device=device)
        except (TypeError, RuntimeError, AssertionError) as error:
            raise ValueError(
                f'AGVM sums squared gradients in double precision, which '
                f'device={str(device)!r} does not have ({error}): train on a '
                'CUDA device or a CPU, or without AGVM') from error


def check_accumulation(micro_batches: int) -> None:
    """Refuse to accumulate under DDP's static graph.

    Torch learns it in the first backward pass, whose gradients must be
    averaged; MMEngine leaves that to the last micro-batch.

    Args:
        micro_batches (int): Of an update, on each rank.

    Raises:
        ValueError: If torch would end the run in its first backward pass.
    """
    if micro_batches > 1:
        raise ValueError(
            'model_wrapper_cfg.static_graph=True takes no accumulation, but '
            f'optim_wrapper.accumulative_counts={micro_batches}: leave '
            'static_graph out; find_unused_parameters=True serves a model '
            'that does not use all of its parts')


def check_process_group(group: dist.ProcessGroup) -> None:
    """Refuse a process group that is not the one of all ranks.

    Args:
        group (dist.ProcessGroup): In which the model averages gradients.

    Raises:
        ValueError: If it is a group of its own, on which AGVM's messages,
            which go over all ranks, do not fit.
    """
    if group is not dist.group.WORLD:
        raise ValueError(
            'AGVM compares the gradients of all ranks, but the model averages '
            f'them in a process_group of its own, of {group.size()} of '
            f'{num_ranks()} ranks: leave process_group out')


def num_ranks() -> int:
    """The data-parallel ranks of this run."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_world_size()
    return 1
