"""How many processes there are, and who splits by hand."""
import pytest
from mmengine.config import Config

from agvm_mm.large_batch import resolve, resolve_here, world_size
from agvm_mm.large_batch.launch import split_by_hand
from tests.test_large_batch.test_iterations import config

VARIABLES = ('WORLD_SIZE', 'SLURM_NTASKS', 'SLURM_STEP_NUM_TASKS',
             'SLURM_PROCID', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_RANK',
             'OMPI_COMM_WORLD_LOCAL_RANK', 'TORCHELASTIC_RUN_ID')


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(('launcher', 'env', 'expected'), [
    ('none', {}, 1),
    ('pytorch', dict(WORLD_SIZE='8'), 8),
    ('slurm', dict(SLURM_NTASKS='16'), 16),
    ('mpi', dict(OMPI_COMM_WORLD_SIZE='4'), 4),
    # An allocation, or a pod, in which a single process was started.
    ('none', dict(SLURM_NTASKS='16'), 1),
    ('none', dict(SLURM_STEP_NUM_TASKS='1', SLURM_PROCID='0'), 1),
    ('none', dict(OMPI_COMM_WORLD_SIZE='1', OMPI_COMM_WORLD_RANK='0'), 1),
    ('none', dict(WORLD_SIZE='2'), 1),
    ('none', dict(WORLD_SIZE='1', TORCHELASTIC_RUN_ID='none'), 1),
    (None, dict(WORLD_SIZE='8'), 8),
    (None, {}, 1),
    # As a container may leave them.
    ('none', dict(WORLD_SIZE='', TORCHELASTIC_RUN_ID=''), 1),
    ('none', dict(OMPI_COMM_WORLD_SIZE='', SLURM_STEP_NUM_TASKS=''), 1),
    ('none', dict(WORLD_SIZE='all'), 1),
])
def test_world_size(launcher, env, expected, monkeypatch):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert world_size(launcher) == expected


@pytest.mark.parametrize(('launcher', 'message'), [
    ('pytorch', "launcher='pytorch' .* expects WORLD_SIZE in the environment"),
    ('slurm', "launcher='slurm' .* expects SLURM_NTASKS in the environment"),
    ('mpi', "launcher='mpi' .* expects OMPI_COMM_WORLD_SIZE in the"),
    ('torchrun',
     "launcher='torchrun' is unknown: it must be none, pytorch, slurm, mpi"),
])
def test_a_launcher_that_tells_nothing(launcher, message):
    with pytest.raises(ValueError, match=message):
        world_size(launcher)


@pytest.mark.parametrize(('env', 'message'), [
    (dict(WORLD_SIZE='2', TORCHELASTIC_RUN_ID='none'),
     r'torchrun started 2 .*--launcher pytorch'),
    (dict(SLURM_STEP_NUM_TASKS='8', SLURM_PROCID='3'),
     r'srun started 8 .*--launcher slurm'),
    (dict(OMPI_COMM_WORLD_SIZE='4', OMPI_COMM_WORLD_RANK='0'),
     r'mpirun started 4 .*--launcher mpi'),
    # As mpirun's daemons pass on what srun has told them.
    (dict(OMPI_COMM_WORLD_SIZE='4', OMPI_COMM_WORLD_RANK='0',
          SLURM_STEP_NUM_TASKS='2', SLURM_PROCID='1'),
     r'mpirun started 4 .*--launcher mpi'),
])
def test_several_processes_without_a_launcher(env, message, monkeypatch):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message):
        world_size('none')


def test_what_is_no_number_of_processes(monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', 'all')
    with pytest.raises(ValueError, match=r'^WORLD_SIZE=all in the envi'):
        world_size('pytorch')


def test_a_stated_accumulation_is_a_split_by_hand():
    cfg = config()
    assert not split_by_hand(cfg)
    assert resolve_here(cfg, 'none').optim_wrapper.accumulative_counts == 16
    for counts in (1, 2):
        cfg.optim_wrapper.accumulative_counts = counts
        assert split_by_hand(cfg)
        assert resolve_here(cfg, 'none') is cfg
    cfg.total_batch_size = None  # of a config below, left out
    assert resolve_here(cfg, 'none') is cfg
    # What a run has set is no such statement: it is worked out again.
    resolved = resolve(config(), 4)
    assert not split_by_hand(resolved)
    assert resolve_here(resolved, 'none').to_dict() == resolve(config(),
                                                               1).to_dict()


def test_what_trains_nothing_is_left_alone():
    cfg = Config(dict(model=dict(), test_dataloader=dict()))
    assert resolve_here(cfg, 'none') is cfg


@pytest.mark.parametrize('by_hand', [False, True])
def test_a_scaled_learning_rate_is_refused(by_hand):
    cfg = config(auto_scale_lr=dict(enable=True, base_batch_size=16))
    if by_hand:
        cfg.optim_wrapper.accumulative_counts = 2
    with pytest.raises(
            ValueError, match=r'auto_scale_lr\.enable=True .*leave it out'):
        resolve_here(cfg, 'none')
    cfg.auto_scale_lr.enable = False
    resolve_here(cfg, 'none')
