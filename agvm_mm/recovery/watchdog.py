"""Tells which rank the others wait for, and ends them all.

A collective that one rank does not reach ends, after ten or thirty minutes, in
a stack of torch on every other rank, and none of them names the one.
"""
from __future__ import annotations

import socket
import time
from typing import Any

from mmengine.dist import get_dist_info
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from agvm_mm.compat.accumulation import micro_batches

from .stack import activity
from .watch import Watch, shared_store


@HOOKS.register_module()
class WatchdogHook(Hook):
    """Ends a training in which a rank is stuck, dead or too slow.

    Where no rank has ended an iteration for ``timeout`` seconds, of training
    or of validation, one message says which rank the others wait for, at which
    update and in which phase (loading data, gradient, measuring, saving, ...),
    and all end with exit code 1. One process alone is not watched.

    Args:
        timeout (float): Seconds, more than the longest that anything takes: an
            iteration, a checkpoint, or the evaluation on the first rank.
            Defaults to 540, because NCCL gives up after 600.

    Raises:
        ValueError: If ``timeout`` is not a positive number.
    """

    priority = 'VERY_HIGH'

    def __init__(self, timeout: float = 540.0) -> None:
        if (isinstance(timeout, bool) or not isinstance(timeout, (int, float))
                or not timeout > 0):
            raise ValueError(f'WatchdogHook.timeout={timeout!r} must be a '
                             'number of seconds above 0')
        self.timeout = float(timeout)
        self._watch: Watch | None = None
        self._events = 0
        self._since = 0.0
        self._loop = 'training'

    def before_train(self, runner: Runner) -> None:
        """Begin to watch.

        Args:
            runner (Runner): Of the training.
        """
        rank, world_size = get_dist_info()
        if world_size == 1:
            return
        self._mark('training')
        self._watch = Watch(
            shared_store(rank, self.timeout), rank, world_size, self.timeout,
            lambda: self._record(runner))
        self._watch.start()

    def after_train(self, runner: Runner) -> None:
        """Watch no more.

        Args:
            runner (Runner): Of the training.
        """
        if self._watch is not None:
            self._watch.stop()
            self._watch = None

    def _before_iter(self,
                     runner: Runner,
                     batch_idx: int,
                     data_batch: Any = None,
                     mode: str = 'train') -> None:
        self._mark('training' if mode == 'train' else 'validating')

    def _after_iter(self,
                    runner: Runner,
                    batch_idx: int,
                    data_batch: Any = None,
                    outputs: Any = None,
                    mode: str = 'train') -> None:
        self._mark('training' if mode == 'train' else 'validating')

    def _mark(self, loop: str) -> None:
        self._loop = loop
        self._events += 1
        self._since = time.monotonic()

    def _record(self, runner: Runner) -> dict:
        return dict(
            host=socket.gethostname(),
            events=self._events,
            seconds=time.monotonic() - self._since,
            update=runner.iter // micro_batches(runner.optim_wrapper),
            **activity(self._loop))
