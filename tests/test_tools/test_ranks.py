"""Which process this is, by each launcher's variables."""
import os

import pytest
from command_line.ranks import check_master, rank_of


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    for name in list(os.environ):
        if name.startswith(('SLURM_', 'OMPI_')) or name in (
                'RANK', 'LOCAL_RANK', 'MASTER_ADDR'):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(('env', 'rank', 'local_rank'), [
    ({}, 0, 0),
    (dict(RANK='5', LOCAL_RANK='1'), 5, 1),
    (dict(OMPI_COMM_WORLD_RANK='5', OMPI_COMM_WORLD_LOCAL_RANK='1'), 5, 1),
    (dict(SLURM_STEP_NUM_TASKS='8', SLURM_PROCID='5', SLURM_LOCALID='1'), 5,
     1),
    # A batch script is no rank; torchrun may have been started by srun.
    (dict(SLURM_STEP_NUM_TASKS='1', SLURM_PROCID='5', SLURM_LOCALID='1'), 0,
     0),
    (dict(RANK='9', LOCAL_RANK='3', SLURM_STEP_NUM_TASKS='2',
          SLURM_PROCID='1', SLURM_LOCALID='0'), 9, 3),
])
def test_the_rank(env, rank, local_rank, monkeypatch):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert (rank_of('RANK'), rank_of('LOCAL_RANK')) == (rank, local_rank)


def test_mpirun_that_names_no_first_machine(monkeypatch):
    check_master('mpi')  # Without mpirun: refused with the total batch.
    monkeypatch.setenv('OMPI_COMM_WORLD_SIZE', '2')
    check_master('slurm')
    with pytest.raises(ValueError, match=r'expects MASTER_ADDR .* mpirun -x'):
        check_master('mpi')
    monkeypatch.setenv('MASTER_ADDR', '10.0.0.1')
    check_master('mpi')
