"""Which update is this, and is it measured?

Updates are counted where they happen, by the optimizer wrapper's own ``step``,
and saved with it. MMEngine counts iterations and backward passes, which are
updates only where each iteration has one of either.
"""
from __future__ import annotations

import math


class Clock:
    """Counts the parameter updates that are done.

    With u updates done before it, an update is measured if ``begin <= u <
    end`` and ``(u - begin) % interval == 0``.

    Args:
        begin (int or 'auto'): The first update to be measured; 'auto' if it is
            yet to be found out, until when nothing is measured.
        end (int, optional): The first update to be left alone again; None
            for never.
        interval (int): Updates between two measurements.
        micro_batches (int): Of a whole update, on each rank.

    Attributes:
        updates (int): Updates done, over all parts of a resumed run.
        iterations (int, optional): Micro-batches of the whole run, if it is
            told: its last update may have less of them than the others.
    """

    def __init__(self, begin: int | str, end: int | None, interval: int,
                 micro_batches: int) -> None:
        self.begin = begin
        self.end: float = math.inf if end is None else end
        self.interval = interval
        self.micro_batches = micro_batches
        self.iterations: int | None = None
        self.updates = 0
        self._resumed = False

    @property
    def modulates(self) -> bool:
        """Whether the current update steps at scaled learning rates."""
        return (self.begin != 'auto'
                and self.begin <= self.updates < self.end)

    @property
    def measures(self) -> bool:
        """Whether the current update is measured."""
        return (self.modulates
                and (self.updates - self.begin) % self.interval == 0)

    @property
    def current_micro_batches(self) -> int:
        """Micro-batches that the current update will have, on each rank."""
        if self.iterations is None:
            return self.micro_batches
        left = self.iterations - self.updates * self.micro_batches
        if left <= 0:  # A loop that steps more often than its runner counts.
            return self.micro_batches
        return min(self.micro_batches, left)

    def tick(self) -> None:
        """Count an update that is done."""
        self.updates += 1

    def resume_at_iteration(self, iteration: int) -> None:
        """Go on at an iteration, unless a checkpoint has told the updates.

        Args:
            iteration (int): Micro-batches done, on each rank.
        """
        if not self._resumed:
            self.updates = iteration // self.micro_batches

    def state_dict(self) -> dict:
        """The updates done, and what ``begin`` became."""
        return dict(updates=self.updates, begin=self.begin)

    def load_state_dict(self, state: dict) -> None:
        """Go on from a checkpoint.

        Args:
            state (dict): From :meth:`state_dict`.
        """
        self.updates = state['updates']
        self._resumed = True
        # A run goes on as it began, unless it is told another number.
        if self.begin == 'auto':
            self.begin = state['begin']
