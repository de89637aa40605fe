"""Which process of a run this is, as its launcher tells it.

MMEngine's ``get_rank`` is 0 until there is a process group. One that asked the
launchers' variables before that would let this go.
"""
from __future__ import annotations

import os

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
    tasks = os.environ.get('SLURM_STEP_NUM_TASKS') or '1'
    if not told and tasks != '1':
        told = os.environ.get(SLURM[variable])
    return int(told or 0)
