"""MMEngine's DDP on CPUs, in processes started by torch's own launcher."""
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from agvm_mm.cpu import (
    _take_over_from_mpi,
    _take_over_from_slurm,
    wrap_on_cpus,
)
from tests.slurm import stand_in

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason='with a GPU, agvm_mm.cpu does nothing')

SCRIPT = textwrap.dedent("""
    import os, torch
    import torch.distributed as dist
    from mmengine.dist import init_dist
    from mmengine.registry import MODEL_WRAPPERS
    import agvm_mm.cpu

    assert dist.get_backend() == 'gloo'

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Sequential(
                torch.nn.Conv2d(3, 4, 1), torch.nn.SyncBatchNorm(4))

        def forward(self, x):
            return self.layer(x)

    # As Runner.wrap_model calls it.
    model = MODEL_WRAPPERS.build(
        dict(type='CPUDistributedDataParallel', module=Model(),
             device_ids=[int(os.environ['LOCAL_RANK'])]))
    norm = model.module.layer[1]
    assert not isinstance(norm, torch.nn.SyncBatchNorm)
    model(torch.randn(2, 3, 4, 4) + dist.get_rank()).sum().backward()
    grad = model.module.layer[0].weight.grad
    others = [torch.zeros_like(grad) for _ in range(2)]
    dist.all_gather(others, grad)
    assert torch.equal(*others)
""")


def test_two_processes_train_and_end_cleanly(tmp_path):
    script = tmp_path / 'script.py'
    script.write_text(SCRIPT)
    result = subprocess.run([
        sys.executable, '-m', 'torch.distributed.run', '--standalone',
        '--nproc_per_node=2',
        str(script)
    ],
                            stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT,
                            text=True,
                            timeout=120)
    assert result.returncode == 0, result.stdout


def test_without_a_launcher_the_import_does_nothing():
    env = {k: v for k, v in os.environ.items() if k != 'RANK'}
    subprocess.run([
        sys.executable, '-c', 'import agvm_mm.cpu, torch.distributed as d; '
        'assert not d.is_initialized()'
    ],
                   check=True,
                   env=env,
                   timeout=120)


TOLD = ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT')


@pytest.fixture(name='told')
def _told(monkeypatch):
    """Call it for what torch is told; nothing at first."""
    for name in TOLD:
        monkeypatch.delenv(name, raising=False)
    return lambda: [os.environ.get(name) for name in TOLD]


@pytest.mark.parametrize('address', [None, '10.0.0.1'])
def test_what_srun_tells(address, told, tmp_path, monkeypatch):
    """The second task of two; an address that the user has set stays."""
    if address:
        monkeypatch.setenv('MASTER_ADDR', address)
    monkeypatch.setenv(
        'PATH', f'{stand_in(tmp_path / "bin")}{os.pathsep}'
        f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}')
    for name, value in dict(
            STEP_NUM_TASKS='2',
            PROCID='1',
            LOCALID='0',
            STEP_NODELIST='node').items():
        monkeypatch.setenv(f'SLURM_{name}', value)
    _take_over_from_slurm()
    assert told() == ['1', '0', '2', address or '127.0.0.1', '29500']


@pytest.mark.parametrize(('here', 'address', 'found'), [
    ('2', None, '127.0.0.1'),
    ('2', '10.0.0.1', '10.0.0.1'),
    ('1', '10.0.0.1', '10.0.0.1'),
    ('1', None, None),  # Which of two machines, it does not tell.
])
def test_what_mpirun_tells(here, address, found, told, monkeypatch):
    if address:
        monkeypatch.setenv('MASTER_ADDR', address)
    for name, value in dict(
            SIZE='2', RANK='1', LOCAL_RANK='0', LOCAL_SIZE=here).items():
        monkeypatch.setenv(f'OMPI_COMM_WORLD_{name}', value)
    # Of srun, which started the daemons of mpirun.
    monkeypatch.setenv('SLURM_STEP_NUM_TASKS', '2')
    monkeypatch.setenv('SLURM_PROCID', '0')
    _take_over_from_mpi()
    _take_over_from_slurm()
    assert told() == ['1', '0', '2', found, '29500']


def test_what_is_empty_tells_nothing(told, monkeypatch):
    monkeypatch.setenv('SLURM_STEP_NUM_TASKS', '')
    monkeypatch.setenv('OMPI_COMM_WORLD_SIZE', '')
    _take_over_from_mpi()
    _take_over_from_slurm()
    assert told() == [None] * 5


@pytest.mark.parametrize(('launcher', 'changes', 'wrapper'), [
    ('none', {}, None),
    ('pytorch', dict(model_wrapper_cfg=dict(type='Own')), dict(type='Own')),
    ('slurm', dict(model_wrapper_cfg=None, find_unused_parameters=True),
     dict(type='CPUDistributedDataParallel', broadcast_buffers=False,
          find_unused_parameters=True)),
])  # yapf: disable
def test_a_config_for_gpus_is_wrapped(launcher, changes, wrapper):
    cfg = Config(dict(launcher=launcher, **changes))
    wrap_on_cpus(cfg)
    assert cfg.get('model_wrapper_cfg') == wrapper


# No other accelerator is here: the processes are told of one.
OTHER = textwrap.dedent("""
    import os, sys
    import agvm_mm, mmengine.device, torch
    name, launched = sys.argv[1:]
    setattr(mmengine.device, f'is_{name}_available', lambda: True)
    if launched == 'launched':
        os.environ.update(RANK='0', WORLD_SIZE='1', MASTER_ADDR='localhost',
                          MASTER_PORT='0')
    import agvm_mm.cpu
    from mmengine.registry import MODEL_WRAPPERS
    MODEL_WRAPPERS.build(dict(type='CPUDistributedDataParallel',
                              module=torch.nn.Linear(1, 1)))
""")


@pytest.mark.parametrize('launched', ['launched', 'alone'])
@pytest.mark.parametrize('name', ['npu', 'mps'])
def test_another_accelerator_is_refused(name, launched):
    result = subprocess.run([sys.executable, '-c', OTHER, name, launched],
                            stderr=subprocess.PIPE,
                            text=True,
                            timeout=120)
    assert result.returncode == 1
    assert f"MMEngine trains on this machine's {name}" in result.stderr
    # Alone the import is harmless: tools read configs that list it.
    by_import = '_init_gloo' in result.stderr
    assert by_import == (launched == 'launched')
