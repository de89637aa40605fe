"""A training is killed before every step that it does to a checkpoint.

A slow suite: bash tools/run_tests.sh --faults
"""
from __future__ import annotations

import signal

import pytest

from agvm_mm.recovery.newest import find_newest
from tests.commands import load
from tests.test_recovery.cuts import CutWriting, train_cut

from .counting import count
from .test_faults import assert_equal

pytestmark = pytest.mark.faults


@pytest.fixture(scope='module', name='whole')
def _whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp('whole')
    assert train_cut(folder) == 0
    return folder


def assert_nothing_is_lost(folder, whole, saved):
    """What was saved is found, and the run ends in the same bits."""
    path, _ = find_newest(folder)
    assert path == (str(folder / f'epoch_{saved}.pth') if saved else None)
    assert train_cut(folder, resume=True) == 0
    ends = [load(f / 'epoch_3.pth') for f in (folder, whole)]
    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        assert_equal(*(end[part] for end in ends), part)


def test_before_every_step(whole, tmp_path):
    steps = (whole / 'events.txt').read_text().splitlines()
    assert len(steps) > 20
    for number, step in enumerate(steps):
        folder = tmp_path / str(number)
        assert train_cut(folder, cut=number) == -signal.SIGKILL
        before = steps[:number]
        saved = max((n for n in (1, 2, 3)
                     if f'os.rename epoch_{n}.pth' in before), default=0)
        what = 'removing' if 'os.remove' in step else 'writing'
        count(f'SIGKILL while {what} a checkpoint')
        print(f'\ncut {number} of {len(steps)}: {step}; saved: {saved}')
        assert_nothing_is_lost(folder, whole, saved)


@pytest.mark.parametrize('size', [0, 1, 1000, 100_000, 160_000])
@pytest.mark.parametrize('epoch', [1, 3])
def test_in_the_middle_of_every_file(whole, tmp_path, epoch, size):
    assert train_cut(tmp_path, CutWriting(epoch, size)) == -signal.SIGXFSZ
    count('killed in the middle of a file')
    assert_nothing_is_lost(tmp_path, whole, epoch - 1)
