"""What a run learns from its measurements, and remembers."""
from __future__ import annotations

import logging
from typing import Sequence

from mmengine.logging import MessageHub, print_log
from torch.optim import Optimizer

from agvm_mm.algorithm.modulator import Modulator
from agvm_mm.algorithm.variance import NoiseScale
from agvm_mm.measuring.measurement import Measurement, Sums

from .clock import Clock
from .log_line import shorten_training_lines
from .logs import forget, log_measurement
from .skipped import (
    NO_GRADIENT,
    NON_FINITE,
    SkippedMeasurements,
    problems_of,
    without_gradient,
)

UNCOUNTED = (
    'AGVM cannot count the samples of a micro-batch, so it logs no '
    'agvm/noise_scale; variances and factors are as always. It counts a '
    "model's data_samples or, without them, its inputs: a tensor or a list, a "
    'list of views, a dict of modalities of equal length, or a dict of '
    'branches whose data samples have an img_path.')


class Modulation:
    """Takes in the measurements of a run.

    Args:
        modules (Sequence[str]): The modules' names.
        options (dict): From :func:`~agvm_mm.engine.options.checked_options`.
        partly (bool): Whether one module's non-finite gradient leaves the
            others measured.

    Attributes:
        modulator (Modulator): With the factors.
        noise_scale (NoiseScale): With its running sums.
        skipped (SkippedMeasurements): Their count.
        name (str, optional): Of the optimizer wrapper in an
            ``OptimWrapperDict``.

    Raises:
        ValueError: If the anchor is none of the modules, or several.
    """

    def __init__(self, modules: Sequence[str], options: dict, *,
                 partly: bool) -> None:
        self.modulator = Modulator(
            modules,
            anchor=options['anchor'],
            momentum=options['momentum'],
            ratio_range=tuple(options['ratio_range']))
        self.noise_scale = NoiseScale(modules, momentum=options['momentum'])
        self.skipped = SkippedMeasurements()
        self.name: str | None = None
        self._partly = partly
        self._sums: Sums | None = None
        self._told_uncounted = False

    def take(self, measurement: Measurement | None,
             optimizer: Optimizer) -> None:
        """Finish a measurement that is due, and learn from it.

        A collective: every rank must call it.

        Args:
            measurement (Measurement, optional): Of the update; None if nothing
                of it was seen.
            optimizer (Optimizer): Before its step, so that its parameters
                still have their gradients.
        """
        self._sums = None
        if measurement is None:
            self.skipped.record('no backward pass of it went through the '
                                'optimizer wrapper')
            return
        sums = measurement.finish()
        if sums is None:
            self.skipped.record('there was a single gradient replica')
            return
        problems = problems_of(sums, self.modulator.modules, optimizer)
        anchor = self.modulator.anchor
        bad = [m for m, problem in problems.items() if problem == NON_FINITE]
        if measurement.failed:
            self.skipped.record(measurement.failed)
        elif anchor in problems:
            lasting = problems[anchor] == NO_GRADIENT
            self.skipped.record(
                self._no_gradient() if lasting else
                f'the anchor, {anchor}, {problems[anchor]}',
                at_once=lasting)
        elif bad:
            self.skipped.record(f'the module {", ".join(bad)} {NON_FINITE}')
        else:
            self.skipped.record(None, problems)
        if bad and not self._partly:
            return
        self.modulator.update(sums.variance)
        if sums.num_samples:
            self.noise_scale.update(sums.sum_sq, sums.mean_sq,
                                    sums.num_replicas,
                                    sums.num_samples / sums.num_replicas)
        elif not self._told_uncounted:
            self._told_uncounted = True
            _warn(UNCOUNTED)
        self._sums = sums

    def check_anchor(self, optimizer: Optimizer) -> None:
        """Warn if the anchor trains in no update from the first one on.

        Args:
            optimizer (Optimizer): Before its first step.
        """
        if without_gradient(self.modulator.anchor, optimizer):
            self.skipped.foretell(self._no_gradient())

    def _no_gradient(self) -> str:
        return (f'the anchor, {self.modulator.anchor}, {NO_GRADIENT} '
                '(agvm.anchor can be any of '
                f'{", ".join(self.modulator.modules)})')

    def log(self, hub: MessageHub) -> None:
        """Write what the last measurement told.

        Args:
            hub (MessageHub): The run's.
        """
        sums = self._sums
        scalars: dict[str, float] = dict(skipped=self.skipped.count)
        values: dict[str, dict[str, float]] = {}
        if sums is not None:
            scalars['num_replicas'] = sums.num_replicas
            if not sums.num_samples:
                # Tells why there is no noise scale.
                scalars['num_samples'] = 0
            values = dict(
                variance=dict(
                    zip(self.modulator.modules, sums.variance.tolist())),
                lr_scale=self.modulator.lr_scale,
                noise_scale=self.noise_scale.values())
        log_measurement(hub, self.name, scalars, values)

    def join_log(self, hub: MessageHub, clock: Clock) -> None:
        """Leave of what an earlier run logged what is true of this one.

        Args:
            hub (MessageHub): The run's.
            clock (Clock): Before the first update of this run.
        """
        shorten_training_lines(hub)
        modules = self.modulator.modules
        forget(hub, self.name, modules if clock.end > 0 else ())
        if 0 < clock.end < clock.updates and clock.begin < clock.end:
            self._log_end(hub)

    def log_end(self, hub: MessageHub, clock: Clock) -> None:
        """Write, once, that the factors are not applied any more.

        Args:
            hub (MessageHub): The run's.
            clock (Clock): Of the update.
        """
        if 0 < clock.end == clock.updates and clock.begin < clock.end:
            self._log_end(hub)

    def _log_end(self, hub: MessageHub) -> None:
        ones = dict.fromkeys(self.modulator.modules, 1.0)
        log_measurement(hub, self.name, {}, dict(lr_scale=ones))

    def state_dict(self) -> dict:
        """The state by the modules' names."""
        return dict(
            lr_scale=self.modulator.state_dict(),
            noise_scale=self.noise_scale.state_dict(),
            skipped=self.skipped.count)

    def load_state_dict(self, state: dict | None) -> None:
        """Take over the state of the modules that both runs know.

        Warns of the modules that only one of them has.

        Args:
            state (dict, optional): From :meth:`state_dict`; None if the
                checkpoint was written without AGVM.
        """
        if state is None:
            _warn('The checkpoint holds no state of AGVM: every lr_scale '
                  'starts at 1.')
            return
        self.modulator.load_state_dict(state['lr_scale'])
        self.noise_scale.load_state_dict(state['noise_scale'])
        self.skipped.count = state['skipped']
        ours = self.modulator.modules
        new = [m for m in ours if m not in state['lr_scale']]
        gone = [m for m in state['lr_scale'] if m not in ours]
        if new or gone:
            _warn('The checkpoint was written with other AGVM modules: '
                  f'{", ".join(new) or "none"} start(s) at lr_scale 1, and '
                  f'the state of {", ".join(gone) or "none"} is dropped.')


def _warn(message: str) -> None:
    print_log(message, logger='current', level=logging.WARNING)
