"""The optimizer wrappers that modulate each module's learning rate."""
from __future__ import annotations

import logging
import math
from contextlib import contextmanager, nullcontext
from typing import Any, Iterator

import torch
import torch._dynamo
from mmengine.logging import print_log
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP
from torch.nn.utils import clip_grad_norm_

from agvm_mm.algorithm.modulator import Modulator, scaled_lr
from agvm_mm.algorithm.variance import NoiseScale
from agvm_mm.measuring.ddp import Replicas
from agvm_mm.measuring.fsdp import ShardedReplicas

from .layout import to_layout
from .logs import log_measurement
from .options import (
    check_accumulative_counts,
    check_clip_grad_range,
    checked_options,
)
from .state import agvm_state, load_agvm_state


class _AGVMMixin:
    """AGVM for a subclass of MMEngine's ``OptimWrapper``.

    With u parameter updates done before it, an update is measured if ``begin
    <= u < end`` and ``(u - begin) % interval == 0``. The factors so found
    already step that update, and stand until the next measurement; before
    ``begin`` and from ``end`` on they are not applied. Between two steps
    ``param_group['lr']`` is always the schedule's own.

    A measurement logs ``train/agvm/variance/<module>``,
    ``train/agvm/lr_scale/<module>``, ``train/agvm/noise_scale/<module>`` (in
    samples) and ``train/agvm/num_replicas``.

    Args:
        optimizer (torch.optim.Optimizer): Its groups are modules, as
            :class:`AGVMOptimWrapperConstructor` makes them.
        agvm (dict): The options of AGVM:

            - begin (int): The first update to be measured, usually the end of
              the warm-up + 100. Required.
            - end (int, optional): The first update to be left alone again.
              Defaults to None, never.
            - interval (int): tau, updates between two measurements. Defaults
              to 10; the paper takes 5 above batch 1024.
            - anchor (str): The module with which the others are aligned, or
              the last part of its name. Defaults to 'backbone'.
            - momentum (float): alpha, of the moving average of the factors,
              in [0, 1). Defaults to 0.97.
            - estimator (str): 'replica', over all equal splits of the
              replicas, or 'half_batch', the paper's. Defaults to 'replica'.
            - ratio_range (tuple[float, float]): Where the ratio of variances
              is clipped to. Defaults to (0.5, 10.0).
            - modules, base_constructor: See
              :class:`~agvm_mm.engine.constructor.AGVMOptimWrapperConstructor`.

        clip_grad_range (tuple[int, int], optional): The updates, half-open, in
            which ``clip_grad`` is in force. Defaults to None, always.
        plain_layout (list[list[str]], optional): The parameters' names, group
            by group, as an optimizer without AGVM holds them; from the
            constructor.
        sharded_model (FSDP, optional): The model, if FSDP wraps it; from the
            constructor.
        **kwargs: For the base class.

    Raises:
        ValueError: If an option is unknown, missing or out of its range, or
            if the optimizer's groups name no modules.
    """

    # Whether one module's non-finite gradient leaves the others measured.
    _measures_partly = True

    def __init__(self,
                 optimizer: torch.optim.Optimizer,
                 *,
                 agvm: dict,
                 clip_grad_range: tuple[int, int] | None = None,
                 plain_layout: list[list[str]] | None = None,
                 sharded_model: FSDP | None = None,
                 **kwargs: Any) -> None:
        if any('module' not in group for group in optimizer.param_groups):
            raise ValueError(
                f'{type(self).__name__} needs an optimizer whose groups are '
                "modules: set constructor='AGVMOptimWrapperConstructor' in "
                'optim_wrapper')
        options = checked_options(agvm)
        check_clip_grad_range(clip_grad_range, kwargs.get('clip_grad'))
        check_accumulative_counts(kwargs.get('accumulative_counts', 1))
        super().__init__(optimizer=optimizer, **kwargs)
        modules = list(
            dict.fromkeys(g['module'] for g in optimizer.param_groups))
        self.begin: int = options['begin']
        self.end: float = (
            math.inf if options['end'] is None else options['end'])
        self.interval: int = options['interval']
        self.clip_grad_range = clip_grad_range
        self.modulator = Modulator(
            modules,
            anchor=options['anchor'],
            momentum=options['momentum'],
            ratio_range=tuple(options['ratio_range']))
        self.noise_scale = NoiseScale(modules, momentum=options['momentum'])
        if sharded_model is None:
            self.replicas = Replicas(
                optimizer, modules, estimator=options['estimator'])
        else:
            self.replicas = ShardedReplicas(
                optimizer,
                modules,
                estimator=options['estimator'],
                model=sharded_model)
            if self.clip_grad_kwargs and self.clip_func is clip_grad_norm_:
                # MMEngine's would clip each rank by the norm of its shard.
                self.clip_func = lambda parameters, **kwargs: (
                    sharded_model.clip_grad_norm_(**kwargs))
        self._plain_layout = plain_layout

    def initialize_count_status(self, model: nn.Module, init_counts: int,
                                max_counts: int) -> None:
        """Refuse what AGVM cannot measure, then do as the base class.

        Args:
            model (nn.Module): The model as it will be trained.
            init_counts (int): Iterations already done.
            max_counts (int): Iterations of the whole training.

        Raises:
            ValueError: See :meth:`~agvm_mm.measuring.ddp.Replicas.check`.
        """
        self.replicas.check(model, self._accumulative_counts)
        super().initialize_count_status(model, init_counts, max_counts)
        self.replicas.samples.attach(model)
        updates = math.ceil(max_counts / self._accumulative_counts)
        last = min(updates, self.end)
        if last <= self.begin:
            print_log(
                f'AGVM will do nothing: agvm.begin={self.begin}, but agvm.end '
                f'or the end of the training is {last}.',
                logger='current',
                level=logging.WARNING)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The base class's context; on a measured update it counts samples."""
        self.replicas.samples.attach(model)
        self.replicas.samples.active = self._is_measured(self._current_update)
        with super().optim_context(model):
            yield

    # Backward and step stay outside of compiled graphs: hooks and schedules
    # change from update to update, and each change would compile anew.
    @torch._dynamo.disable
    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """The base class's backward pass, observed on a measured update."""
        if self._is_measured(self._current_update):
            with self.replicas.observe(loss, self._micro_batches):
                super().backward(loss, **kwargs)
        else:
            super().backward(loss, **kwargs)

    @torch._dynamo.disable
    def step(self, **kwargs: Any) -> None:
        """Measure if it is time, then step each module at lr * lr_scale."""
        # The backward pass has counted itself already.
        update = (self._inner_count - 1) // self._accumulative_counts
        if self._is_measured(update):
            self._measure()
        scaling = nullcontext()
        if self.begin <= update < self.end:
            scaling = scaled_lr(self.optimizer.param_groups,
                                self.modulator.lr_scale)
        with self._clipping(update), scaling:
            super().step(**kwargs)

    def state_dict(self) -> dict:
        """The base class's state, and AGVM's by module name in 'agvm'."""
        state_dict = super().state_dict()
        state_dict['agvm'] = agvm_state(self.modulator, self.noise_scale)
        return state_dict

    def load_state_dict(self, state_dict: dict) -> None:
        """Load a checkpoint's state, of a run with AGVM or without.

        Args:
            state_dict (dict): As :meth:`state_dict` returns it, or another
                optimizer wrapper's; it is not changed. The modules may differ
                from this run's: each parameter finds its state by name.

        Raises:
            ValueError: If it is the state of other parameters.
        """
        state_dict = dict(state_dict)
        agvm = state_dict.pop('agvm', None)
        settings = state_dict['param_groups'][0]
        state_dict = to_layout(state_dict, self.optimizer.param_groups,
                               self._plain_layout)
        if self.base_param_settings is not None:
            # An optimizer of one group keeps its base lr in that group.
            state_dict.setdefault(
                'base_param_settings', {
                    **settings, 'params': self.base_param_settings['params']
                })
        super().load_state_dict(state_dict)
        load_agvm_state(agvm, self.modulator, self.noise_scale)

    @property
    def _current_update(self) -> int:
        """Updates done before the one that the coming backward is part of."""
        return self._inner_count // self._accumulative_counts

    @property
    def _micro_batches(self) -> int:
        """Micro-batches of the current update; the last may have less."""
        # As in scale_loss; a max_counts of -1 means that nobody has told it.
        full = self._max_counts - self._remainder_counts
        if self._max_counts == -1 or self._inner_count < full:
            return self._accumulative_counts
        return self._remainder_counts

    @property
    def _grad_scale(self) -> float:
        """The loss scale that gradients carry until the step."""
        return 1.0

    def _is_measured(self, update: int) -> bool:
        return (self.begin <= update < self.end
                and (update - self.begin) % self.interval == 0)

    def _measure(self) -> None:
        sums = self.replicas.finish(self._grad_scale)
        if sums is None:
            return
        finite = torch.isfinite(sums.sum_sq) & torch.isfinite(sums.mean_sq)
        if not (self._measures_partly or finite.all()):
            return
        self.modulator.update(sums.variance)
        if sums.num_samples:
            self.noise_scale.update(sums.sum_sq, sums.mean_sq,
                                    sums.num_replicas,
                                    sums.num_samples / sums.num_replicas)
        log_measurement(
            self.message_hub,
            sums.num_replicas,
            variance=dict(zip(self.modulator.modules, sums.variance.tolist())),
            lr_scale=self.modulator.lr_scale,
            noise_scale=self.noise_scale.values())

    @contextmanager
    def _clipping(self, update: int) -> Iterator[None]:
        """Switch ``clip_grad`` off outside of its range."""
        kwargs = self.clip_grad_kwargs
        if self.clip_grad_range is not None:
            first, last = self.clip_grad_range
            if not first <= update < last:
                self.clip_grad_kwargs = None
        try:
            yield
        finally:
            self.clip_grad_kwargs = kwargs


@OPTIM_WRAPPERS.register_module()
class AGVMOptimWrapper(_AGVMMixin, OptimWrapper):
    """AGVM in single precision."""

    __doc__ = _AGVMMixin.__doc__


@OPTIM_WRAPPERS.register_module()
class AGVMAmpOptimWrapper(_AGVMMixin, AmpOptimWrapper):
    """AGVM with automatic mixed precision.

    An update whose gradients overflow, which the loss scaler skips, is not
    measured. Gradients are compared, clipped and stepped as in
    :class:`AGVMOptimWrapper`, whose options this class takes too, beside
    those of MMEngine's ``AmpOptimWrapper``.
    """

    _measures_partly = False

    @property
    def _grad_scale(self) -> float:
        return self.loss_scaler.get_scale()
