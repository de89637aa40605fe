"""torchrun, but signals reach each rank once, and its code is the ranks' own.

It ends with a line where torchrun would end with a traceback. Each rank has
told its own error already: what is left to tell is which rank it was, and
nothing if it was refused by a line of :mod:`refusals`.
"""
from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from types import FrameType
from typing import Any

from torch.distributed.elastic.agent.server.local_elastic_agent import (
    LocalElasticAgent,
)
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher import api
from torch.distributed.run import get_args_parser, main

# What a rank writes that has told why it ended.
SAID = 'refused: '
# That a rank exits with when it has saved and stops: PREEMPTED of
# agvm_mm.recovery.preemption, which this process does not import.
PREEMPTED = 75
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
GRACE_SECONDS = 30  # torchrun's own


class SignallingAgent(LocalElasticAgent):
    """torchrun's agent, which waits for what its ranks make of a signal.

    torchrun's own ends them within 30 seconds of SIGTERM and then itself, with
    code 1; SIGUSR1 ends it alone.
    """

    def _start_workers(self, worker_group: Any) -> dict[int, int]:
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
    if seconds <= 0:
        raise ValueError(f'GRACE_SECONDS={value} must be a number above 0: '
                         'the seconds in which ranks may save after a signal')
    return seconds


def port_in_use(address: str, port: int) -> bool:
    """Whether something on this machine listens at a port.

    Args:
        address (str): Of this machine.
        port (int): Of the first rank.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return True
    return False


def exit_code(failures: dict[int, Any]) -> int:
    """The code of ranks that failed, as a shell would tell it.

    Args:
        failures (dict): torchrun's ``ProcessFailure`` of each rank.

    Returns:
        int: ``PREEMPTED`` if a rank has it, or that of the first to fail; 128
        and the signal's number if a signal ended it.
    """
    if any(f.exitcode == PREEMPTED for f in failures.values()):
        return PREEMPTED
    first = min(failures.values(), key=lambda f: f.timestamp)
    return first.exitcode if first.exitcode > 0 else 128 - first.exitcode


def launch(argv: list[str]) -> None:
    """Run torchrun.

    Args:
        argv (list[str]): Its command line.

    Raises:
        SystemExit: Of code 1 if the port is taken, or of the ranks' code.
    """
    args = get_args_parser().parse_args(argv)
    port = args.master_port or 0
    if not args.standalone and args.node_rank == 0 and port_in_use('', port):
        sys.exit(f'port {port} is in use on this machine, perhaps by another '
                 'run: set another in front of the command, as '
                 f'PORT={port + 1}')
    try:
        grace_seconds()
    except ValueError as error:
        sys.exit(str(error))
    # What it logs of a failure is told below.
    for module in ('api', 'errors.error_handler'):
        logging.getLogger(f'torch.distributed.elastic.multiprocessing.{module}'
                          ).addFilter(lambda record: False)
    api.LocalElasticAgent = SignallingAgent
    try:
        main(argv)
    except ChildFailedError as error:
        failures = error.failures
        code = exit_code(failures)
        if code != PREEMPTED and not any(
                str(f.message).startswith(SAID) for f in failures.values()):
            for rank, failure in failures.items():
                sys.stderr.write(
                    f'rank {rank} on {socket.gethostname()} ended with exit '
                    f'code {failure.exitcode}: {failure.message}\n')
        sys.exit(code)


if __name__ == '__main__':
    launch(sys.argv[1:])
