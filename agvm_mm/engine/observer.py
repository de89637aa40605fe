"""Sees the forward and backward passes of an update."""
from __future__ import annotations

from contextlib import contextmanager
from typing import Callable, Hashable, Iterator

from torch import Tensor, nn

from agvm_mm.measuring.measurement import Measurement
from agvm_mm.measuring.replicas import Replicas
from agvm_mm.measuring.sample_counter import SampleCounter

from .clock import Clock


class Observer:
    """Keeps the measurement of the current update, if it is measured.

    A replica is one micro-batch on one rank: the one backward pass of
    ``update_params``. Of who calls ``backward`` and ``step``, it is what comes
    between two forward passes or, where an update has one micro-batch, all of
    the update.

    Args:
        replicas (Replicas): Where the gradients come from.
        clock (Clock): Tells whether the current update is measured.
    """

    def __init__(self, replicas: Replicas, clock: Clock) -> None:
        self.samples = SampleCounter()
        self._replicas = replicas
        self._clock = clock
        self._measurement: Measurement | None = None
        self._forward_passes = 0
        self._one_pass = False

    def before_forward(self, model: nn.Module) -> None:
        """The training forward pass of a micro-batch comes.

        Args:
            model (nn.Module): The model, wrapped as it is trained.
        """
        self.samples.attach(model)
        self.samples.start()
        self._forward_passes += 1

    @contextmanager
    def one_pass_a_micro_batch(self) -> Iterator[None]:
        """Within, each backward pass is all of its micro-batch."""
        self._one_pass = True
        try:
            yield
        finally:
            self._one_pass = False

    @contextmanager
    def observe(self, loss: Tensor,
                inverse_scale: Callable[[], Tensor | None],
                weight: float) -> Iterator[None]:
        """Measure the backward pass that runs within, if it is time.

        Args:
            loss (Tensor): What the backward pass starts from.
            inverse_scale (Callable): Returns 1 / the loss scale, a scalar on
                the gradient's device; None without one.
            weight (float): What the loss was multiplied by, because the
                micro-batches of the update are of unequal size.
        """
        num_samples = self.samples.take()
        if not self._clock.measures:
            yield
            return
        if self._begins_anew():
            self._measurement = Measurement(
                self._replicas, self._clock.current_micro_batches,
                inverse_scale())
        with self._measurement.observe(loss, self._micro_batch(), num_samples,
                                       weight):
            yield

    def end(
        self,
        inverse_scale: Callable[[], Tensor | None] | None = None
    ) -> Measurement | None:
        """The measurement of the update whose step comes, if there is one.

        Args:
            inverse_scale (Callable, optional): As above, for the gradients as
                they come to the step. Defaults to None: it is thrown away.
        """
        measurement, self._measurement = self._measurement, None
        if measurement is not None and inverse_scale is not None:
            measurement.inverse_scale = inverse_scale()
        return measurement

    def _begins_anew(self) -> bool:
        if self._measurement is None:
            return True
        # After a failure the user's loop may have cleared the gradients.
        return self._measurement.failed is not None and all(
            p.grad is None for g in self._replicas.optimizer.param_groups
            for p in g['params'])

    def _micro_batch(self) -> Hashable:
        """Tells a backward pass's micro-batch; None if it is all of it."""
        if self._one_pass:
            return None
        if self._clock.micro_batches == 1:
            return 'the only one'
        # Where no forward pass was told, each backward pass is a whole one.
        return self._forward_passes or None
