"""Where the machines of a run meet whose number may change."""
from __future__ import annotations

import argparse
import contextlib
import ipaddress
import os
import re
import socket
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any, Sequence

from torch.distributed import TCPStore
from torch.distributed.elastic.rendezvous.utils import (
    _matches_machine_hostname,
)

# As often as in torchrun's own examples.
MAX_RESTARTS = 3
# In which an agent of this machine tells whether it hosts a run.
ANSWER_SECONDS = 5


def node_range(nnodes: str) -> tuple[int, int]:
    """The fewest and the most machines.

    Args:
        nnodes (str): As ``4``, or ``1:4``.

    Raises:
        ValueError: If it is neither.
    """
    found = re.fullmatch(r'([1-9]\d*)(?::([1-9]\d*))?', nnodes)
    fewest, most = (int(n or found[1]) for n in found.groups()) if found else (
        1, 0)
    if fewest > most:
        raise ValueError(
            f'NNODES={nnodes} must be a number of machines, as 4, or the '
            'fewest and the most of them, as 1:4')
    return fewest, most


def max_restarts(elastic: bool) -> int:
    """How often ranks that failed are started again, from the environment.

    Args:
        elastic (bool): Whether the number of machines may change.

    Raises:
        ValueError: If it is no whole number from 0 on.
    """
    value = os.environ.get('MAX_RESTARTS', str(MAX_RESTARTS if elastic else 0))
    if not value.isdecimal():
        raise ValueError(
            f'MAX_RESTARTS={value} must be a whole number from 0 on: how '
            'often a run whose ranks have failed is formed anew')
    return int(value)


def check_torch(version: str) -> None:
    """Refuse a torch whose agents were seen not to end.

    Args:
        version (str): Of torch.

    Raises:
        ValueError: If it is before 2.4, the oldest that was seen to do.
    """
    if tuple(map(int, version.split('.')[:2])) < (2, 4):
        raise ValueError(
            'a range of machines (NNODES) and MAX_RESTARTS need torch 2.4 or '
            f'newer, but this is torch {version}: update torch, or give a '
            'fixed number, as NNODES=4, and no MAX_RESTARTS')


def rendezvous_arguments(args: argparse.Namespace) -> list[str]:
    """What lets torchrun's agents meet again and again.

    Args:
        args (argparse.Namespace): torchrun's: ``master_addr``,
            ``master_port``, and the command.

    Returns:
        list[str]: Further arguments of torchrun.

    Raises:
        ValueError: If ``MASTER_ADDR`` is unknown, or another run, or another
            program, has its port.
    """
    address, port = args.master_addr, args.master_port
    try:
        family, *_, target = socket.getaddrinfo(
            address, port, type=socket.SOCK_DGRAM)[0]
    except socket.gaierror as error:
        raise ValueError(
            f'MASTER_ADDR={address} is unknown on this machine '
            f'({error.strerror}): give an address of the machine at which '
            'all meet') from error
    own, name = _is_own(family, target[0]), run_name(args.training_script_args)
    taken = own and port_in_use('', port)
    if taken and not _meets(address, port, name):
        raise ValueError(in_use(port))
    conf = [os.environ['RDZV_CONF']] if os.environ.get('RDZV_CONF') else []
    if taken:
        conf += ['is_host=0']  # Or torch tells of a port in use.
    elif own and not _matches_machine_hostname(address):
        conf += ['is_host=1']  # torchrun would not see it.
    arguments = [
        '--rdzv_backend=c10d', f'--rdzv_endpoint={address}:{port}',
        f'--rdzv_id={name}', f'--rdzv_conf={",".join(conf)}'
    ]
    here = _address_towards(family, target, address)
    if here is not None and hasattr(args, 'local_addr'):
        arguments.append(f'--local_addr={here}')
    return arguments


def run_name(command: Sequence[str]) -> str:
    """By what the agents of a run know each other.

    Args:
        command (Sequence[str]): The arguments of the script.

    Returns:
        str: ``RDZV_ID`` of the environment, or the name of the work dir, which
        two runs do not share.
    """
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument('config', nargs='?', default='run')
    parser.add_argument('--work-dir')
    args = parser.parse_known_args(command)[0]
    name = os.path.basename((args.work_dir or '').rstrip('/'))
    return os.environ.get('RDZV_ID') or name or Path(args.config).stem


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


def in_use(port: int) -> str:
    """What to say of a port that is taken.

    Args:
        port (int): The port.
    """
    return (f'port {port} is in use on this machine, perhaps by another run: '
            f'set another in front of the command, as PORT={port + 1}')


def _is_own(family: int, address: str) -> bool:
    """Whether an address is of this machine."""
    with socket.socket(family) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _meets(address: str, port: int, name: str) -> bool:
    """Whether another agent of this machine hosts the run already."""
    found = []

    def look() -> None:
        with contextlib.suppress(RuntimeError):
            store = TCPStore(
                address, port, is_master=False, wait_for_workers=False)
            store.wait([f'torch.rendezvous.{name}'], timedelta(seconds=1))
            found.append(True)

    # A program that says nothing is waited for without an end, in spite of
    # any timeout.
    asking = threading.Thread(target=look, daemon=True)
    asking.start()
    asking.join(ANSWER_SECONDS)
    return bool(found)


def _address_towards(family: int, target: Any, address: str) -> str | None:
    """This machine's address as the first one sees it; nothing is sent.

    None if that is a loopback's, and the first one's was not given as such:
    it is of a machine whose own name stands in its /etc/hosts.
    """
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(target)
        except OSError:
            return None
        here = probe.getsockname()[0]
    if address == 'localhost' or address.startswith(('127.', '::1')):
        return here
    return None if ipaddress.ip_address(here).is_loopback else here
