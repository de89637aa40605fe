"""A runner whose batch is found before it is built."""
from __future__ import annotations

from typing import Any, Callable

from mmengine.config import Config
from mmengine.logging import print_log
from torch import nn

from agvm_mm.large_batch import find_samples


class UnbuiltRunner:
    """Stands for a runner of ``max_samples_per_gpu='auto'`` until it is used.

    The number is a matter of training alone, takes its time, and much of a
    runner follows from it. So a runner that trains is built when it is found,
    and one that tests or validates, or is used in another way, without it.

    Args:
        build (Callable[[Config], Any]): Builds the runner.
        cfg (Config): Of the run.
        launcher (str, optional): See
            :func:`~agvm_mm.large_batch.find_samples`.
    """

    def __init__(self, build: Callable[[Config], Any], cfg: Config,
                 launcher: str | None) -> None:
        self._build = build
        self._cfg = cfg
        self._launcher = launcher
        self._runner: Any = None

    def train(self) -> nn.Module:
        """Find the number, build the runner and train.

        Returns:
            nn.Module: The model.

        Raises:
            ValueError: As :func:`~agvm_mm.large_batch.find_samples`, and as
                the runner's own method.
        """
        if self._runner is None:
            cfg, found = find_samples(self._cfg, self._launcher)
            self._runner = self._build(cfg)
            print_log(found, 'current')
        return self._runner.train()

    def __getattr__(self, name: str) -> Any:
        """Whatever else the runner has, which is built for it."""
        if name.startswith('__'):
            raise AttributeError(name)
        if self._runner is None:
            self._runner = self._build(self._cfg)
        return getattr(self._runner, name)
