"""Ends a rank whose launcher was killed."""
from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>
# In the environment of ranks that tools/dist_train.sh started.
LAUNCHER = 'LAUNCHER_PID'


def end_with_launcher() -> None:
    """Let Linux kill this process when torchrun dies that started it.

    torchrun starts each rank in a session of its own: a rank would train on,
    beside the run that is resumed. Elsewhere, and of a process that torchrun
    did not start, nothing happens.
    """
    if sys.platform.startswith('linux') and (
            'TORCHELASTIC_RUN_ID' in os.environ):
        ctypes.CDLL(None, use_errno=True).prctl(
            PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if _launcher_is_gone():  # It died while this process imported torch.
            os.kill(os.getpid(), signal.SIGKILL)


def _launcher_is_gone() -> bool:
    launcher = os.environ.get(LAUNCHER)
    if launcher is None:
        return False
    try:
        os.kill(int(launcher), 0)  # No signal, but the question.
    except ProcessLookupError:
        return True
    return False
