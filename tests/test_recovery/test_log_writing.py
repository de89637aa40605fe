"""A log that cannot be written costs its lines, and not the training."""
from __future__ import annotations

import json
import shutil

import pytest
from mmengine.hooks import Hook

from agvm_mm.compat.checkpoint import check_checkpoint

from .runs import log_of, train
from .test_checkpoint_hook import FullFrom

EACH_UPDATE = {
    'default_hooks.logger': dict(type='LoggerHook', interval=1),
    'visualizer': dict(
        type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
}


class FullIn(FullFrom):
    """The disk is full in one epoch, from its first update on."""

    def before_train_epoch(self, runner):
        super().before_train_epoch(runner)
        super().after_train_epoch(runner)

    def after_train_epoch(self, runner):
        pass


def rows(work_dir):
    """The readable rows of the JSON log, by their update."""
    lines = next(work_dir.glob('*/vis_data/scalars.json')).read_text()
    return [json.loads(line)['step'] // 4 for line in lines.splitlines()]


@pytest.mark.parametrize('runner_type',
                         ['TotalBatchRunner', 'TotalBatchFlexibleRunner'])
def test_a_full_disk_ends_no_training(tmp_path, runner_type, capsys):
    # The first epoch has more of a log than fits in the second.
    runner = train(
        tmp_path, FullIn(2, 100), runner_type=runner_type, **EACH_UPDATE)
    assert runner.iter == runner.max_iters
    assert rows(tmp_path) == [1, 2, 3, 7, 8, 9]
    told = capsys.readouterr()
    assert 'Logging error' not in told.err
    warned = [
        line for line in told.out.splitlines() + told.err.splitlines()
        if 'could not write the log (File too large)' in line
    ]
    assert len(warned) == 2
    assert 'LocalVisBackend' in warned[0] or 'LocalVisBackend' in warned[1]
    check_checkpoint(tmp_path / 'epoch_3.pth')


def test_a_work_dir_that_vanished_is_made_again(tmp_path):
    work_dir = tmp_path / 'work'

    class Vanish(Hook):

        def before_train_epoch(self, runner):
            if runner.epoch == 1:
                shutil.rmtree(work_dir)

    train(work_dir, Vanish(), **EACH_UPDATE)
    assert rows(work_dir) == [4, 5, 6, 7, 8, 9]
    check_checkpoint(work_dir / 'epoch_2.pth')


def test_where_nothing_is_in_the_way_nothing_is_lost(tmp_path):
    train(tmp_path, **EACH_UPDATE)
    train(tmp_path / 'b', **EACH_UPDATE)
    assert rows(tmp_path) == rows(tmp_path / 'b') == list(range(1, 10))
    assert 'could not write' not in log_of(tmp_path)
