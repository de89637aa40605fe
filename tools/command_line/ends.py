"""How a run ends whose machines may change."""
from __future__ import annotations

import signal

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.rendezvous.api import (
    RendezvousClosedError,
    RendezvousTimeoutError,
)


class EndedError(Exception):
    """The run ends here because of what happened on another machine.

    Args:
        told (str): Why.
        code (int): To exit with.
    """

    def __init__(self, told: str, code: int) -> None:
        super().__init__(told)
        self.code = code


class LeavesError(SignalException):
    """This machine leaves the run, which torchrun does not close for that.

    Args:
        code (int): To exit with.
    """

    def __init__(self, code: int) -> None:
        super().__init__('machine leaves', signal.SIGTERM)
        self.code = code


def why(error: Exception) -> str:
    """What to say where machines do not meet.

    Args:
        error (Exception): Of torchrun's rendezvous, or of its store.
    """
    if isinstance(error, RendezvousTimeoutError):
        return ('fewer machines than NNODES came in time (join_timeout of '
                'RDZV_CONF): the run ends, and --resume goes on with it')
    if isinstance(error, RendezvousClosedError):
        return 'the run has ended: there is nothing to join'
    return ('the machine at which all meet (MASTER_ADDR, PORT) does not '
            'answer: the run ends, and --resume goes on with it')
