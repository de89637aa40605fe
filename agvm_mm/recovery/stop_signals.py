"""The signals by which a cluster asks a process to stop."""
from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType
from typing import Any

# Sent at a time limit, a preemption or a shutdown; SIGUSR1 is what Slurm's
# --signal is mostly told to send before. Windows lacks it.
STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ('SIGTERM', 'SIGUSR1')
    if hasattr(signal, name))
# A launcher and a scheduler may both pass on what is one request.
SAME_REQUEST = 2.0  # seconds


class StopSignals:
    """Notes the first request to stop; a second one ends the process.

    Attributes:
        received (int): The number of the first signal; 0 before it.
    """

    def __init__(self) -> None:
        self.received = 0
        self._since = 0.0
        self._previous: dict[int, Any] = {}

    def take(self) -> None:
        """Take them over from whoever handles them; main thread alone."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in STOP_SIGNALS:
            self._previous[number] = signal.signal(number, self._note)

    def ignore(self) -> None:
        """Let nothing end the process that is about to end by itself."""
        for number in self._previous:
            signal.signal(number, signal.SIG_IGN)

    def give_back(self) -> None:
        """Put the earlier handlers back."""
        for number, handler in self._previous.items():
            # None is a handler that was not set from Python.
            signal.signal(number, handler or signal.SIG_DFL)
        self._previous.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.received:
            self.received, self._since = number, now
        elif now - self._since > SAME_REQUEST:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            os._exit(128 + number)  # The first process of a container lives.
