"""AGVM in an optimizer wrapper of MMEngine, whatever its precision."""
from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import Any, Iterator

import torch
from mmengine.logging import MessageHub
from torch import Tensor, nn

from agvm_mm.algorithm.modulator import scaled_lr
from agvm_mm.compat.checkpoint import allow_mmengine_checkpoints
from agvm_mm.compat.message_hub import keep_config_on_resume
from agvm_mm.compat.optim_wrapper_dict import name_in_dict
from agvm_mm.compat.schedulers import resume_schedules_by_group
from agvm_mm.large_batch.settings import check_count
from agvm_mm.measuring.graphs import outside_of_graphs
from agvm_mm.measuring.replicas import replicas_of

from .admission import admit
from .begin import settle_begin
from .clipping import check_clipping, clip_as_without_agvm, clipping
from .clock import Clock
from .groups import ModuleGroups
from .layout import fit_base_settings, of_one_kind, to_layout
from .modulation import Modulation
from .observer import Observer
from .options import checked_options
from .run_config import warn_of_ignored_total


class AGVMMixin:
    """AGVM for a subclass of MMEngine's ``OptimWrapper``.

    With u parameter updates done before it, an update is measured if ``begin
    <= u < end`` and ``(u - begin) % interval == 0``. The factors so found
    already step that update, and stand until the next measurement; before
    ``begin`` and from ``end`` on they are not applied. Between two steps
    ``param_group['lr']`` is always the schedule's own.

    A measurement logs ``train/agvm/variance/<module>``,
    ``train/agvm/lr_scale/<module>``, ``train/agvm/noise_scale/<module>`` (in
    samples), ``train/agvm/num_replicas`` and ``train/agvm/skipped``, how many
    measurements were due and could not be taken. A child of an
    ``OptimWrapperDict`` logs its modules as ``<its name>.<module>``. Of these,
    the printed line shows the factors.

    Args:
        optimizer (torch.optim.Optimizer): Its groups are modules, as
            :class:`AGVMOptimWrapperConstructor` makes them.
        agvm (dict): The options of AGVM; see
            :func:`~agvm_mm.engine.options.checked_options`.
        clip_grad_range (tuple[int, int], optional): The updates, half-open, in
            which ``clip_grad`` is in force. Defaults to None, always.
        model (nn.Module, optional): The model, perhaps wrapped; from the
            constructor. Without it nobody knows the parameters' names, and a
            run of other groups cannot be resumed. Defaults to None.
        plain_layout (list[list[str]], optional): The parameters' names, group
            by group, as an optimizer without AGVM holds them; from the
            constructor. Defaults to None.
        **kwargs: For the base class.

    Raises:
        ValueError: If an option is unknown or out of its range, or if the
            optimizer's groups name no modules or AGVM cannot work with it.
    """

    # Whether one module's non-finite gradient leaves the others measured.
    _measures_partly = True
    loss_weight = 1.0  # of this micro-batch, set by LossWeightHook

    def __init__(self,
                 optimizer: torch.optim.Optimizer,
                 *,
                 agvm: dict,
                 clip_grad_range: tuple[int, int] | None = None,
                 model: nn.Module | None = None,
                 plain_layout: list[list[str]] | None = None,
                 **kwargs: Any) -> None:
        options = checked_options(agvm)
        check_clipping(kwargs.get('clip_grad'), clip_grad_range, model)
        micro_batches = kwargs.get('accumulative_counts', 1)
        check_count('optim_wrapper.accumulative_counts', micro_batches)
        admit(optimizer)
        self.groups = ModuleGroups(optimizer, model, options['modules'])
        super().__init__(optimizer=optimizer, **kwargs)
        clip_as_without_agvm(self, model, plain_layout)
        self.clip_grad_range = clip_grad_range
        self.clock = Clock(options['begin'], options['end'],
                           options['interval'], micro_batches)
        self.modulation = Modulation(
            self.groups.modules, options, partly=self._measures_partly)
        self.modulator = self.modulation.modulator
        self.replicas = replicas_of(
            optimizer,
            self.groups.modules,
            self.groups.names,
            estimator=options['estimator'],
            model=model)
        self.observer = Observer(self.replicas, self.clock)
        self._plain_layout = plain_layout
        self._started = False
        self._stepped = False
        # Before a resume that may come, whose file torch would refuse.
        allow_mmengine_checkpoints()
        keep_config_on_resume(self.message_hub)

    def initialize_count_status(self, model: nn.Module, init_counts: int,
                                max_counts: int) -> None:
        """Refuse what AGVM cannot measure, then do as the base class.

        Not every runner calls it: the first forward pass makes up for it.

        Args:
            model (nn.Module): The model as it will be trained.
            init_counts (int): Iterations already done.
            max_counts (int): Iterations of the whole training.

        Raises:
            ValueError: If an update has a single replica, if ranks train a
                model that neither DDP nor FSDP wraps, or if ``begin='auto'``
                finds no warm-up.
        """
        self._join(model)
        super().initialize_count_status(model, init_counts, max_counts)
        self.observer.samples.attach(model)
        self.clock.iterations = max_counts if max_counts > 0 else None
        self.clock.resume_at_iteration(init_counts)
        settle_begin(self.clock, self.message_hub, None, last_call=False)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The base class's context, in which samples are counted."""
        self._before_forward(model)
        with super().optim_context(model):
            yield
        self.observer.samples.stop()

    # These stay outside of compiled graphs: hooks and schedules change from
    # update to update, and each change would compile anew.
    @outside_of_graphs
    def update_params(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """The base class's; its backward pass is all of a micro-batch."""
        with self.observer.one_pass_a_micro_batch():
            super().update_params(loss, *args, **kwargs)

    @outside_of_graphs
    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """The base class's backward pass, observed on a measured update."""
        self._start(None)
        self.groups.label()
        with self.observer.observe(loss, self._inverse_scale,
                                   self.loss_weight):
            super().backward(loss, **kwargs)

    @outside_of_graphs
    def step(self, **kwargs: Any) -> None:
        """Measure if it is time, then step each module at lr * lr_scale."""
        measurement = self.observer.end(self._inverse_scale)
        if self.clock.measures:
            self.modulation.take(measurement, self.optimizer)
            self.modulation.log(self.message_hub)
        elif not self._stepped:
            self.modulation.check_anchor(self.optimizer)
        self._stepped = True
        self.modulation.log_end(self.message_hub, self.clock)
        scaling = nullcontext()
        if self.clock.modulates:
            scaling = scaled_lr(self.optimizer.param_groups,
                                self.modulator.lr_scale)
        with clipping(self, self.clip_grad_range, self.clock.updates), scaling:
            super().step(**kwargs)
        self.clock.tick()

    def zero_grad(self, **kwargs: Any) -> None:
        """The base class's; what was measured of these gradients goes too."""
        self.observer.end()
        super().zero_grad(**kwargs)

    def state_dict(self) -> dict:
        """The base class's state, and AGVM's by module name in 'agvm'."""
        state_dict = super().state_dict()
        for group in state_dict['param_groups']:
            group.pop('module', None)  # A label is this run's own.
        state_dict['agvm'] = dict(
            self.modulation.state_dict(),
            **self.clock.state_dict(),
            layout=self.groups.layout())
        return state_dict

    def load_state_dict(self, state_dict: dict) -> None:
        """Load a checkpoint's state, of a run with AGVM or without.

        Args:
            state_dict (dict): Of an optimizer wrapper; it is not changed. The
                modules may differ: parameters find their state by name.

        Raises:
            ValueError: If it is the state of other parameters, or of another
                kind of optimizer.
        """
        self.observer.end()
        state_dict = dict(state_dict)
        agvm = state_dict.pop('agvm', None)
        fit_base_settings(state_dict, self.base_param_settings)
        self.groups.label()
        ours = self.groups.layout()
        theirs = self._plain_layout if agvm is None else agvm['layout']
        state_dict = to_layout(state_dict, ours, theirs, self.param_groups)
        with of_one_kind(self.optimizer), self.groups.labels_kept():
            super().load_state_dict(state_dict)
        if ours != theirs:
            resume_schedules_by_group(self)
        self.modulation.load_state_dict(agvm)
        if agvm is not None:
            self.clock.load_state_dict(agvm)

    def _inverse_scale(self) -> Tensor | None:
        """1 / the loss scale that gradients carry by now."""
        return None

    @outside_of_graphs
    def _before_forward(self, model: nn.Module) -> None:
        self._start(model)
        self.observer.before_forward(model)

    def _join(self, model: nn.Module | None) -> None:
        if self.clock.end > 0:  # or AGVM is switched off
            self.replicas.check(model, self.clock.micro_batches)
        # A wrapper that was built by hand is older than its runner's hub.
        self.message_hub = MessageHub.get_current_instance()
        warn_of_ignored_total(self.message_hub)

    def _start(self, model: nn.Module | None) -> None:
        """Once, before the first forward or backward pass of this run."""
        if self._started:
            return
        self._join(model)
        hub, name = self.message_hub, None
        told = self.clock.iterations is not None
        if not told:
            # As an OptimWrapperDict leaves its children, and FlexibleRunner
            # all wrappers without accumulation.
            name = self.modulation.name = name_in_dict(self)
            self.clock.resume_at_iteration(hub.get_info('iter') or 0)
        if not told or self.clock.begin == 'auto':
            settle_begin(self.clock, hub, name, last_call=True)
        self.modulation.join_log(hub, self.clock)
        self._started = True
