"""Which process this is, by each launcher's variables."""
import os

import pytest

from agvm_mm.compat.ranks import rank_of


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    for name in list(os.environ):
        if name.startswith(('SLURM_', 'OMPI_')) or name in (
                'RANK', 'LOCAL_RANK'):
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
