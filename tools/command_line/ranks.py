"""Which process of a run this is, whatever launcher started it."""
from __future__ import annotations

import os

from torch.distributed import is_initialized

from agvm_mm.large_batch.launch import processes_told

# torchrun sets the first; Open MPI's mpirun and Slurm's srun the others.
MPI = dict(
    RANK='OMPI_COMM_WORLD_RANK', LOCAL_RANK='OMPI_COMM_WORLD_LOCAL_RANK')
SLURM = dict(RANK='SLURM_PROCID', LOCAL_RANK='SLURM_LOCALID')


def rank_of(variable: str) -> int:
    """A rank, before there is a process group.

    Args:
        variable (str): 'RANK', or 'LOCAL_RANK' for that on this machine.
    """
    told = os.environ.get(variable) or os.environ.get(MPI[variable])
    # Of this very step: the variables of the job stand in its batch script
    # too, which is no rank of anything.
    if not told and processes_told('SLURM_STEP_NUM_TASKS') > 1:
        told = os.environ.get(SLURM[variable])
    return int(told or 0)


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
