"""torchrun's agent, but signals reach each rank once.

An agent starts the ranks of one machine and waits for them.
"""
from __future__ import annotations

import math
import os
import signal
from types import FrameType
from typing import Any

from torch.distributed.elastic.agent.server.local_elastic_agent import (
    LocalElasticAgent,
)

# What a rank writes that has told why it ended.
SAID = 'refused: '
# That a rank exits with when it has saved and stops: PREEMPTED of
# agvm_mm.recovery.preemption, which this process does not import.
PREEMPTED = 75
# In the environment of ranks whose machines may change: how often the run was
# formed before, the same on all of them.
ROUND = 'ELASTIC_ROUND'
# And that of all ranks: LAUNCHER of agvm_mm.recovery.parent.
LAUNCHER = 'LAUNCHER_PID'
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
GRACE_SECONDS = 30  # torchrun's own


class SignallingAgent(LocalElasticAgent):
    """torchrun's agent, which waits for what its ranks make of a signal.

    torchrun's own ends them within 30 seconds of SIGTERM and then itself, with
    code 1; SIGUSR1 ends it alone.
    """

    def _start_workers(self, worker_group: Any) -> dict[int, int]:
        os.environ[LAUNCHER] = str(os.getpid())
        ranks = super()._start_workers(worker_group)
        self._ranks = set(ranks.values())
        for number in PASSED_ON:
            # In the place of torchrun's own, which it has just set.
            signal.signal(number, self._pass_on)
        signal.signal(signal.SIGALRM, self._end)
        return ranks

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self._remaining_restarts = 0
        self._send(number)
        if not signal.getitimer(signal.ITIMER_REAL)[0]:
            signal.setitimer(signal.ITIMER_REAL, grace_seconds())

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        for rank in self._ranks:
            try:
                os.kill(rank, number)
            except ProcessLookupError:
                continue


def grace_seconds() -> float:
    """The seconds that ranks have after a signal, from the environment.

    Raises:
        ValueError: If they are no positive number.
    """
    value = os.environ.get('GRACE_SECONDS', GRACE_SECONDS)
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0
    if not 0 < seconds < math.inf:
        raise ValueError(f'GRACE_SECONDS={value} must be a number above 0: '
                         'the seconds in which ranks may save after a signal')
    return seconds


def exit_code(failures: dict[int, Any]) -> int:
    """The code of ranks that failed, as a shell would tell it.

    Args:
        failures (dict): torchrun's ``ProcessFailure`` of each rank.

    Returns:
        int: ``PREEMPTED`` if a rank has it, 1 if one was refused, or that of
        the first to fail; 128 and the signal's number if a signal ended it.
    """
    if any(f.exitcode == PREEMPTED for f in failures.values()):
        return PREEMPTED
    if is_refused(failures):
        return 1
    first = min(failures.values(), key=lambda f: f.timestamp)
    return first.exitcode if first.exitcode > 0 else 128 - first.exitcode


def is_refused(failures: dict[int, Any]) -> bool:
    """Whether a rank has told, in a line, what is to be mended.

    Args:
        failures (dict): torchrun's ``ProcessFailure`` of each rank.
    """
    return any(str(f.message).startswith(SAID) for f in failures.values())
