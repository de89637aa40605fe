"""Whether the ranks of a run can find each other."""
from __future__ import annotations

import os

from torch.distributed import is_initialized


def check_master(launcher: str) -> None:
    """Refuse an mpirun that does not say where ranks find each other.

    Args:
        launcher (str): As the command line names it.

    Raises:
        ValueError: If MASTER_ADDR is missing.
    """
    if launcher != 'mpi' or not os.environ.get('OMPI_COMM_WORLD_SIZE'):
        return  # Without mpirun, which is refused with the total batch.
    if 'MASTER_ADDR' not in os.environ and not is_initialized():
        raise ValueError(
            "launcher='mpi' (--launcher) expects MASTER_ADDR in the "
            'environment, the address of the first machine: mpirun -x '
            'MASTER_ADDR=127.0.0.1 ... on a single one')
