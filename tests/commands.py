"""Runs the command lines as a user runs them: real processes throughout."""
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from random import SystemRandom

from agvm_mm.compat.checkpoint import allow_mmengine_checkpoints

from .stack import read

ROOT = Path(__file__).parent.parent
RETINANET = ROOT / 'configs/digits/retinanet_r18_fpn_agvm_digits.py'
FASTER = ROOT / 'configs/digits/faster-rcnn_r18_fpn_agvm_digits.py'
SEMANTIC = ROOT / 'configs/digits/semantic-fpn_r18_agvm_digits.py'


# Whether the running test is marked as slow; conftest.py sets it.
permitted = False


def run(*command, **options):
    """Run what may import mmdet or mmseg, or train; see :func:`call`."""
    assert permitted, (
        'this test starts a process of mmdet or mmseg, and is not marked as '
        'slow: conftest.py did not see that it calls tests.commands.run; '
        'decorate it with pytest.mark.slow')
    return call(*command, **dict(dict(timeout=300), **options))


def call(*command, cwd=ROOT, status=0, timeout=20, **env):
    """Run a command; return its output, or fail unless it ends as it should"""
    # The tools call the 'python' of the environment that runs the tests.
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    result = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        # One thread, as torchrun gives; conftest.py says why.
        env={
            **os.environ, 'PATH': path,
            'OMP_NUM_THREADS': '1',
            **env
        })
    assert (result.returncode == 0) == (status == 0), result.stdout[-4000:]
    return result.stdout


def copy_checkout(target):
    """The checkout without what is made in it; return where it lies."""
    target.mkdir()
    for name in ('.ci', '.github', 'agvm_mm', 'configs', 'docs', 'tests',
                 'tools'):
        shutil.copytree(
            ROOT / name,
            target / name,
            symlinks=True,
            ignore=shutil.ignore_patterns('__pycache__'))
    for path in ROOT.iterdir():
        if path.is_file() and path.name != '.git':
            shutil.copy(path, target)
    return target


def free_port():
    # Below those that Linux gives to whoever asks for any, and not from the
    # seeded numbers, which the workers of pytest have alike.
    for port in iter(lambda: SystemRandom().randrange(20000, 32000), None):
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(('', port))
            return str(port)


def options(digits, *more):
    """Settings that make a Digits config small: 4 updates an epoch."""
    settings = [
        f'{loader}_dataloader.dataset.data_root={digits}'
        for loader in ('train', 'val', 'test')
    ]
    settings += [
        f'{e}_evaluator.ann_file={digits}annotations/instances_val.json'
        for e in ('val', 'test')
    ]
    settings += [
        'total_batch_size=4', 'train_dataloader.batch_size=2',
        'optim_wrapper.agvm.begin=1',
        'optim_wrapper.agvm.interval=2', 'default_hooks.logger.interval=1',
        'default_hooks.checkpoint.interval=1'
    ]
    return ['--cfg-options', *settings, *more]


def without(part, settings):
    return [setting for setting in settings if part not in setting]


def train_two_processes(config, work_dir, epochs, digits, *arguments):
    return run(
        'bash',
        'tools/dist_train.sh',
        config,
        2,
        '--work-dir',
        work_dir,
        *arguments,
        *options(digits, f'train_cfg.max_epochs={epochs}',
                 'train_cfg.val_interval=10'),
        PORT=free_port())


def load(checkpoint):
    """A run's checkpoint, by torch's safe loader."""
    allow_mmengine_checkpoints()
    return read(checkpoint)


def scalars(work_dir):
    rows = []
    for log in sorted(work_dir.glob('*/vis_data/scalars.json')):
        rows += map(json.loads, log.read_text().splitlines())
    return [row for row in rows if 'loss' in row]
