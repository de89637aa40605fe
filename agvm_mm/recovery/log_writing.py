"""Lets a training outlive the moments in which its log cannot be written.

A full disk, or a folder that is gone, ends a run of MMEngine at the next line
of its JSON log, however well its checkpoints are kept.
"""
from __future__ import annotations

import functools
import logging
import os
import sys
from typing import Any, Callable

from mmengine.runner import Runner
from mmengine.visualization import BaseVisBackend

# What MMEngine's backends of a visualizer write by.
WRITES = ('add_config', 'add_graph', 'add_image', 'add_scalar', 'add_scalars',
          'close')


def outlive_lost_lines(runner: Runner) -> None:
    """Let what its log cannot take be a warning of this run, and no error.

    Each place of the log warns once; what it can write later it writes.

    Args:
        runner (Runner or FlexibleRunner): The run.
    """
    for backend in runner.visualizer._vis_backends.values():
        if isinstance(backend, BaseVisBackend):
            _Place(type(backend).__name__, runner).guard(backend)
    for handler in runner.logger.handlers:
        if isinstance(handler, logging.FileHandler):
            # Its own would print a stack for each line.
            handler.handleError = _Place(handler.baseFilename, runner).lose


class _Place:
    """Somewhere a log is written to.

    Args:
        name (str): For the warning.
        runner (Runner or FlexibleRunner): The run, whose logger warns.
    """

    def __init__(self, name: str, runner: Runner) -> None:
        self.name = name
        self.runner = runner
        self._warned = False

    def guard(self, backend: BaseVisBackend) -> None:
        """Let no method of a backend raise what a disk raises."""
        for name in WRITES:
            # Its class's, as two runs of one process can share a visualizer.
            method = getattr(type(backend), name)
            setattr(backend, name, self._guarded(method, backend))

    def lose(self, record: Any = None) -> None:
        """Warn, once, of what is being handled."""
        error = sys.exc_info()[1]
        if self._warned:
            return
        self._warned = True
        self.runner.logger.warning(
            f'{self.name} could not write the log '
            f'({getattr(error, "strerror", None) or error}): the training '
            'goes on, without the lines that are lost')

    def _guarded(self, method: Callable, backend: BaseVisBackend) -> Callable:

        @functools.wraps(method)
        def write(*args: Any, **kwargs: Any) -> None:
            try:
                try:
                    method(backend, *args, **kwargs)
                except FileNotFoundError:  # The folder is gone.
                    os.makedirs(backend._save_dir, exist_ok=True)
                    method(backend, *args, **kwargs)
            except OSError:
                self.lose()

        return write
