"""A disk of its own runs full while a training saves.

A slow suite: bash tools/run_tests.sh --faults
"""
from __future__ import annotations

import contextlib
import os
import subprocess

import pytest
from mmengine.hooks import Hook

from agvm_mm.compat.checkpoint import check_checkpoint
from tests.commands import load
from tests.test_recovery.runs import files, log_of, train

from .counting import count
from .test_faults import assert_equal

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(os.geteuid() != 0, reason='needs the right to mount')
]
EPOCHS = 3  # of three updates


@contextlib.contextmanager
def disk(folder):
    """A disk of 4 MB, a checkpoint being of 0.2."""
    folder.mkdir()
    mount = ['mount', '-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', str(folder)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip('needs the right to mount')
    try:
        yield folder
    finally:
        # Lazily: the log that the run has left open is on it.
        subprocess.run(['umount', '-l', str(folder)], check=True)


class Fill(Hook):
    """Leaves so many bytes of the disk in one epoch."""

    priority = 'VERY_HIGH'

    def __init__(self, epoch, left):
        self.epoch, self.left = epoch, left

    def after_train_epoch(self, runner):
        if runner.epoch + 1 != self.epoch:
            return
        stat = os.statvfs(runner.work_dir)
        free = stat.f_bavail * stat.f_frsize
        with open(os.path.join(runner.work_dir, 'others'), 'wb') as file:
            file.write(bytes(free - self.left))
        count(f'disk full: {self.left:,} bytes left for a checkpoint')

    def before_train_epoch(self, runner):
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(runner.work_dir, 'others'))


@pytest.mark.parametrize('left', [0, 8192, 100_000, 180_000])
@pytest.mark.parametrize('keep', [1, -1])
def test_the_earlier_checkpoint_stays_and_the_run_goes_on(
        tmp_path, keep, left):
    whole = tmp_path / 'whole'
    train(whole)
    settings = dict(checkpoint=dict(max_keep_ckpts=keep))
    seen = []

    class Look(Hook):
        priority = 'LOWEST'

        def after_train_epoch(self, runner):
            pointer = os.path.join(runner.work_dir, 'last_checkpoint')
            with open(pointer) as file:
                seen.append(file.read())
            check_checkpoint(os.path.join(runner.work_dir, seen[-1]))

    with disk(tmp_path / 'disk') as folder:
        train(folder, Fill(2, left), Look(), **settings)
        assert seen == ['epoch_1.pth', 'epoch_1.pth', 'epoch_3.pth']
        assert 'epoch_2.pth' not in files(folder)
        log = log_of(folder)
        assert log.count('epoch_2.pth could not be saved (No space left') == 1
        assert 'Traceback' not in log
        ends = [load(f / f'epoch_{EPOCHS}.pth') for f in (folder, whole)]
    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        assert_equal(*(end[part] for end in ends), part)


def test_a_run_whose_last_save_found_no_space_is_resumed(tmp_path):
    whole = tmp_path / 'whole'
    train(whole)
    with disk(tmp_path / 'disk') as folder:
        train(folder, Fill(EPOCHS, 0))
        os.remove(folder / 'others')
        train(folder, resume=True)
        ends = [load(f / f'epoch_{EPOCHS}.pth') for f in (folder, whole)]
    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        assert_equal(*(end[part] for end in ends), part)
