"""torchrun, but signals reach each rank once, and its code is the ranks' own.

It ends with a line where torchrun would end with a traceback. Each rank has
told its own error already: what is left to tell is which rank it was, and
nothing if it was refused by a line of :mod:`refusals`.
"""
from __future__ import annotations

import logging
import os
import socket
import sys

import torch
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.elastic.rendezvous.api import RendezvousError
from torch.distributed.launcher import api
from torch.distributed.run import get_args_parser, main

from .agents import (
    PREEMPTED,
    SignallingAgent,
    exit_code,
    grace_seconds,
    is_refused,
)
from .elastic import ElasticAgent
from .ends import EndedError, LeavesError, why
from .rendezvous import (
    check_torch,
    in_use,
    max_restarts,
    node_range,
    port_in_use,
    rendezvous_arguments,
)


def check_gpus(asked: str) -> None:
    """Refuse more processes than this machine has GPUs, each for one.

    Args:
        asked (str): ``--nproc_per_node``.

    Raises:
        ValueError: If it has GPUs, and fewer of them.
    """
    found = torch.cuda.device_count()
    if asked.isdecimal() and 0 < found < int(asked):
        raise ValueError(
            f'{asked} processes were asked for, and this machine has {found} '
            f'GPUs: start {found}. The total batch is kept on any number')


def launch(argv: list[str]) -> None:
    """Run torchrun.

    Args:
        argv (list[str]): Its command line.

    Raises:
        SystemExit: Of code 1 and with a line if a setting is wrong, the port
            is taken or the machines do not meet, or of the ranks' code.
    """
    args = get_args_parser().parse_args(argv)
    port = args.master_port or 0
    try:
        grace_seconds()
        check_gpus(args.nproc_per_node)
        fewest, most = node_range(args.nnodes)
        restarts = max_restarts(fewest < most)
        elastic = bool(fewest < most or restarts)
        if elastic:
            check_torch(torch.__version__)
            # Or, when a machine joins again, all wait for a store of ranks
            # that are gone (torch 2.13).
            os.environ['TORCH_DISABLE_SHARE_RDZV_TCP_STORE'] = '1'
            argv = [
                f'--max_restarts={restarts}', *rendezvous_arguments(args),
                *argv
            ]
        elif (not args.standalone and args.node_rank == 0
              and port_in_use('', port)):
            raise ValueError(in_use(port))
    except ValueError as error:
        sys.exit(str(error))
    # What it logs of a failure is told below.
    for module in ('api', 'errors.error_handler'):
        logging.getLogger(f'torch.distributed.elastic.multiprocessing.{module}'
                          ).addFilter(lambda record: False)
    api.LocalElasticAgent = ElasticAgent if elastic else SignallingAgent
    try:
        main(argv)
    except ChildFailedError as error:
        code = exit_code(error.failures)
        if code != PREEMPTED and not is_refused(error.failures):
            for rank, failure in error.failures.items():
                sys.stderr.write(
                    f'rank {rank} on {socket.gethostname()} ended with exit '
                    f'code {failure.exitcode}: {failure.message}\n')
        sys.exit(code)
    except LeavesError as error:
        sys.exit(error.code)
    except EndedError as error:
        sys.stderr.write(f'{error}\n')
        sys.exit(error.code)
    except RendezvousError as error:
        sys.exit(why(error))
