"""torchrun, but it ends with a line where it would end with a traceback.

Each rank has told its own error already: what is left to tell is which rank
it was, and nothing if it was refused by a line of :mod:`refusals`.
"""
from __future__ import annotations

import logging
import socket
import sys

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import get_args_parser, main

# What a rank writes that has told why it ended.
SAID = 'refused: '


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


def launch(argv: list[str]) -> None:
    """Run torchrun.

    Args:
        argv (list[str]): Its command line.

    Raises:
        SystemExit: Of code 1 if the port is taken, or if a rank failed.
    """
    args = get_args_parser().parse_args(argv)
    port = args.master_port or 0
    if not args.standalone and args.node_rank == 0 and port_in_use('', port):
        sys.exit(f'port {port} is in use on this machine, perhaps by another '
                 'run: set another in front of the command, as '
                 f'PORT={port + 1}')
    # What it logs of a failure is told below.
    for module in ('api', 'errors.error_handler'):
        logging.getLogger(f'torch.distributed.elastic.multiprocessing.{module}'
                          ).addFilter(lambda record: False)
    try:
        main(argv)
    except ChildFailedError as error:
        failures = error.failures
        if not any(
                str(f.message).startswith(SAID) for f in failures.values()):
            for rank, failure in failures.items():
                sys.stderr.write(
                    f'rank {rank} on {socket.gethostname()} ended with exit '
                    f'code {failure.exitcode}: {failure.message}\n')
        sys.exit(1)


if __name__ == '__main__':
    launch(sys.argv[1:])
