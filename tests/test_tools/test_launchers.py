"""Training and testing over several processes, machines and tasks."""
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.commands import RETINANET, free_port, options, run, scalars


def test_test_tools(trained, digits, tmp_path, monkeypatch):
    from test import main  # tools/test.py
    for name in ('LOCAL_RANK', 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'):
        monkeypatch.setenv(name, '0')
    checkpoint = trained[0] / 'epoch_2.pth'
    out = tmp_path / 'predictions.pkl'
    # A total batch that no process can run is for the training to refuse.
    main([
        str(RETINANET),
        str(checkpoint), '--work-dir',
        str(tmp_path), '--out',
        str(out), *options(digits, f'visualizer.name={tmp_path.name}',
                           'total_batch_size=1')
    ])
    log, = tmp_path.glob('*/*.log')
    assert 'Epoch(test) [1/1]' in log.read_text()
    assert out.stat().st_size > 0
    output = run(
        'bash',
        'tools/dist_test.sh',
        RETINANET,
        checkpoint,
        2,
        '--work-dir',
        tmp_path,
        *options(digits),
        PORT=free_port())
    assert 'Epoch(test) [1/1]' in output


def test_two_nodes(digits, tmp_path):
    """Two agents of torchrun on this machine, each as if on its own."""
    settings = options(digits, 'train_cfg.max_epochs=1',
                       'train_cfg.val_interval=10')
    port = free_port()
    with ThreadPoolExecutor() as pool:
        outputs = list(
            pool.map(
                lambda rank: run(
                    'bash',
                    'tools/dist_train.sh',
                    RETINANET,
                    1,
                    '--work-dir',
                    tmp_path,
                    *settings,
                    NNODES='2',
                    NODE_RANK=str(rank),
                    MASTER_ADDR='127.0.0.1',
                    OMP_NUM_THREADS='1',
                    PORT=port), range(2)))
    # The first rank alone logs.
    assert sorted('Epoch(train)' in output for output in outputs) == [0, 1]
    rows = scalars(tmp_path)
    assert len(rows) == 4
    assert rows[-1]['agvm/num_replicas'] == 2


# Stands in for Slurm, which needs its daemons: as srun, it starts each task
# with what Slurm tells it, and as scontrol it names the hosts of the job.
SLURM = """\
#!/usr/bin/env python
import os, subprocess, sys
if os.path.basename(sys.argv[0]) == 'scontrol':
    sys.exit(print('127.0.0.1'))
options = dict(a.split('=') for a in sys.argv if a.startswith('--n'))
command = sys.argv[sys.argv.index('python'):]
print('srun', *sys.argv[1:sys.argv.index('python')])
count = options['--ntasks']
tasks = [subprocess.Popen(command, env=dict(
    os.environ, SLURM_PROCID=str(rank), SLURM_LOCALID=str(rank),
    SLURM_NTASKS=count, SLURM_STEP_NUM_TASKS=count, SLURM_NODELIST='node',
    SLURM_STEP_NODELIST='node')) for rank in range(int(count))]
sys.exit(max(task.wait() for task in tasks))
"""


def test_slurm(digits, tmp_path):
    for name in ('srun', 'scontrol'):
        (tmp_path / name).write_text(SLURM)
        (tmp_path / name).chmod(0o755)
    output = run(
        'bash',
        '-c',
        f'PATH={tmp_path}:$PATH; exec bash tools/slurm_train.sh "$@"',
        '-',
        'gpus',
        'job',
        RETINANET,
        tmp_path / 'work',
        *options(digits, 'train_cfg.max_epochs=1',
                 'train_cfg.val_interval=10'),
        GPUS='2',
        GPUS_PER_NODE='2',
        SRUN_ARGS='--nice=5',
        PORT=free_port())
    assert ('srun -p gpus --job-name=job --gres=gpu:2 --ntasks=2 '
            '--ntasks-per-node=2 --cpus-per-task=5 --kill-on-bad-exit=1 '
            '--nice=5') in output
    rows = scalars(tmp_path / 'work')
    assert len(rows) == 4
    assert rows[-1]['agvm/num_replicas'] == 2


@pytest.mark.parametrize(
    'tool',
    ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh'])
def test_launchers_tell_their_usage(tool):
    assert 'usage: ' in run('bash', f'tools/{tool}', status=2)
