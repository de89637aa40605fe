"""The commands of docs/clusters.md, as they stand there."""
import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.commands import RETINANET, ROOT, free_port, options, run, scalars
from tests.slurm import stand_in
from tests.test_docs.pages import blocks, command

PAGE = 'clusters.md'
BY_HAND = 'NNODES=2 NODE_RANK=0 .* 8$'
SHORT = ('train_cfg.max_epochs=1', 'val_cfg=None', 'val_dataloader=None',
         'val_evaluator=None')


def on_this_machine(line, port, **words):
    """A command of the page with this machine's address and a port."""
    words.update({'10.0.0.1': '127.0.0.1', '29500': port})
    for word, value in words.items():
        assert word in line, word
        line = re.sub(rf'(?<![\w.]){word}(?![\w.])', str(value), line)
    return line


def bash(line, *arguments, **env):
    return run('bash', '-c', f'{line} "$@"', '-', *arguments, **env)


def test_two_machines(digits, tmp_path):
    """Two agents of torchrun, each as if on its own machine: the first by
    dist_train.sh with 1 process, the second by torchrun with 2."""
    port = free_port()
    words = dict(CONFIG=RETINANET)
    first, second = (
        on_this_machine(command(PAGE, start), port, **words)
        for start in (BY_HAND, 'torchrun '))
    # The other lines by hand differ by what they say alone.
    line = command(PAGE, BY_HAND)
    assert command(PAGE, 'NNODES=2 NODE_RANK=1') == line.replace(
        'NODE_RANK=0', 'NODE_RANK=1')
    assert command(PAGE, 'NNODES=2 .*--resume$') == f'{line} --resume'
    lines = [
        re.sub(r' 8$', ' 1', first),
        second.replace('--nproc_per_node=8', '--nproc_per_node=2')
    ]
    settings = [
        setting for setting in options(digits, *SHORT)
        if not setting.startswith('total_batch_size')
    ]
    with ThreadPoolExecutor() as pool:
        outputs = list(
            pool.map(
                lambda line: bash(line, '--work-dir', tmp_path, *settings,
                                  'total_batch_size=6'), lines))
    # The first rank alone logs.
    split = 'total_batch_size=6: 3 processes x 2 samples x 1 micro-batch'
    assert [split in output for output in outputs] == [True, False]
    rows = scalars(tmp_path)
    assert len(rows) == 3  # of 16 images
    assert rows[-1]['agvm/num_replicas'] == 3


def test_the_elastic_line():
    """Which tests/faults/test_elastic.py starts, on one machine."""
    assert command(PAGE, 'NNODES=1:4') == command(PAGE, BY_HAND).replace(
        'NNODES=2 NODE_RANK=0', 'NNODES=1:4')


def test_the_job_script(digits, tmp_path):
    """Under a stand-in for Slurm: see tests/slurm.py."""
    stand_in(tmp_path / 'bin')
    script, = [b for b in blocks(PAGE, 'bash') if '#SBATCH' in b]
    (tmp_path / 'train.sbatch').write_text(script)
    # A folder as the checkout is, whose environment is the tests' own.
    for name in ('tools', 'configs'):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / '.venv/bin').mkdir(parents=True)
    (tmp_path / '.venv/bin/activate').touch()
    line = command(PAGE, 'sbatch ').replace('CONFIG', str(RETINANET)).replace(
        'WORK_DIR', 'work')
    output = run(
        'bash',
        '-c',
        # As sbatch takes them, before the script.
        line.replace('sbatch ', 'PATH=bin:$PATH sbatch --ntasks-per-node=1 ',
                     1) + ' "$@"',
        '-',
        *options(digits, *SHORT),
        cwd=tmp_path,
        SRUN_ARGS='--nice=5',
        PYTHONPATH=os.pathsep.join(
            [str(ROOT), os.environ.get('PYTHONPATH', '')]))
    assert ('srun -p gpus --job-name=agvm --gres=gpu:1 --ntasks=2 '
            '--ntasks-per-node=1 --cpus-per-task=8 --kill-on-bad-exit=1 '
            '--nice=5\n') in output
    assert 'holds no checkpoint to resume: the training starts anew' in output
    assert 'total_batch_size=4: 2 processes x 2 samples x 1 mic' in output
    rows = scalars(tmp_path / 'work')
    assert len(rows) == 4
    assert rows[-1]['agvm/num_replicas'] == 2
    assert (tmp_path / 'work/epoch_1.pth').is_file()


def srun_of(line, folder):
    """What a command calls srun with; here it prints, and starts nothing."""
    srun = folder / 'srun'
    srun.write_text('#!/bin/sh\necho srun "$@" $MASTER_PORT\n')
    srun.chmod(0o755)
    output = run('bash', '-c', f'PATH={folder}:$PATH; {line}')
    return re.search('^srun .*', output, re.M)[0]


@pytest.fixture(name='mpirun')
def _mpirun(monkeypatch):
    """Open MPI, of which the default stack has a wheel."""
    folder = Path(sys.executable).parent
    if shutil.which('mpirun', path=folder) is None:
        pytest.skip('Open MPI is not installed')
    monkeypatch.setenv('PATH', f'{folder}{os.pathsep}{os.environ["PATH"]}')
    # Tests in a container run as root.
    monkeypatch.setenv('OMPI_ALLOW_RUN_AS_ROOT', '1')
    monkeypatch.setenv('OMPI_ALLOW_RUN_AS_ROOT_CONFIRM', '1')
    line = command(PAGE, 'mpirun ')
    return re.sub('--host .*? ', '--host localhost:2 ', line)


def test_mpirun_and_a_signal(mpirun, digits, tmp_path):
    line = on_this_machine(
        mpirun, free_port(), CONFIG=RETINANET, WORK_DIR=tmp_path)
    with subprocess.Popen([*shlex.split(line), *options(digits)],
                          cwd=ROOT,
                          stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT,
                          text=True) as process:
        output = ''
        for said in process.stdout:
            output += said
            if 'Epoch(train)' in said and 'Epoch(train)' not in output[:-len(
                    said)]:
                process.send_signal(signal.SIGUSR1)
    assert process.returncode == 75, output
    # The first rank alone logs.
    split = 'total_batch_size=4: 2 processes x 2 samples x 1 micro-batch'
    assert output.count(split) == 1
    assert list(tmp_path.glob('preempted_iter_*.pth'))


@pytest.mark.parametrize(('launcher', 'setting', 'message'), [
    ('', 'seed=0', "launcher='none', but mpirun started 2 processes, which "
     'would train apart from each other: add --launcher mpi'),
    (' --launcher mpi', 'total_batch_size=1',
     'total_batch_size=1 leaves some of 2 processes without a sample'),
])
def test_mpirun_is_told_once(launcher, setting, message, mpirun, digits,
                             tmp_path):
    line = on_this_machine(
        mpirun, free_port(), CONFIG=RETINANET, WORK_DIR=tmp_path)
    output = bash(
        line.replace(' --launcher mpi', launcher),
        *options(digits, setting),
        status=1)
    assert output.count(message) == 1


@pytest.mark.skipif(
    importlib.util.find_spec('mim') is None, reason='openmim is not installed')
def test_mim_calls_srun(tmp_path):
    line = command(PAGE, 'mim train ').replace('mim ', 'python -m mim ', 1)
    called = srun_of(line.replace('WORK_DIR', str(tmp_path)), tmp_path)
    assert called.startswith(
        'srun -p gpus --gres=gpu:8 --ntasks=16 --ntasks-per-node=8 '
        '--cpus-per-task=8 --kill-on-bad-exit=1 ')
    assert '/tools/train.py ' in called


def test_slurm_train_calls_srun(tmp_path):
    assert srun_of(command(PAGE, 'GPUS=16 '), tmp_path) == (
        'srun -p PARTITION --job-name=JOB_NAME --gres=gpu:8 --ntasks=16 '
        '--ntasks-per-node=8 --cpus-per-task=8 --kill-on-bad-exit=1 '
        'python -u tools/train.py CONFIG --work-dir WORK_DIR '
        '--launcher slurm 29500')


def test_what_will_run(monkeypatch, capsys):
    from plan import main
    monkeypatch.chdir(ROOT)
    split, uneven, refused, told = blocks(PAGE, 'text')
    words = shlex.split(command(PAGE, 'python tools/plan.py'))[2:]
    for line, gpus in ((split, '16'), (uneven, '96')):
        main([*words[:-1], gpus])
        assert ' '.join(line.split()) in ' '.join(
            capsys.readouterr().out.split())
    with pytest.raises(SystemExit) as error:
        main([*words[:-1], '768'])
    assert str(error.value) == refused.strip()
    assert told == ('total_batch_size=512: 16 processes x 16 samples x '
                    '2 micro-batches\n')

