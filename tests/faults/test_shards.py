"""A rank is killed before steps that it does to a checkpoint in shards.

A slow suite: bash tools/run_tests.sh --faults
"""
from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from torch.multiprocessing import ProcessExitedException

from agvm_mm.compat.checkpoint import check_checkpoint
from agvm_mm.compat.shards import load_whole
from agvm_mm.recovery.newest import find_newest
from tests.distributed import run_ranks
from tests.stack import fsdp
from tests.test_recovery.test_shards import run

from .counting import count
from .test_faults import assert_equal

pytestmark = [pytest.mark.faults, fsdp]
STEPS = ('open', 'os.rename', 'os.remove', 'os.mkdir', 'os.rmdir')
CHECKPOINT = dict(by_epoch=False, interval=4, max_keep_ckpts=1)
EVERY = 7  # of the steps


def watched(rank, work_dir, killed, number, resume):
    """Train; the rank that is to be killed is, before one of its steps."""
    done = []

    def watch(event, args):
        path = str(args[0]) if args else ''
        if (event not in STEPS or watch.off or rank != killed
                or not ('.pth' in path or 'last_checkpoint' in path)):
            return
        if len(done) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(f'{event} {path}')

    watch.off = False
    sys.addaudithook(watch)
    ends = run(rank, work_dir, 'sharded', resume, [], CHECKPOINT)
    watch.off = True
    return ends, done


@pytest.fixture(scope='module', name='whole')
def _whole(tmp_path_factory):
    """The folder of a run that was not killed, and each rank's steps."""
    folder = tmp_path_factory.mktemp('whole')
    steps = []
    for rank in (0, 1):
        ranks = run_ranks(watched, 2, folder / str(rank), rank, None, False)
        steps.append(ranks[rank][1])
    return folder / '0', steps


@pytest.mark.parametrize('rank', [0, 1])
def test_before_its_steps(whole, rank, tmp_path):
    folder, steps = whole
    expected = load_whole(folder / 'iter_12.pth')
    for number in range(rank, len(steps[rank]), EVERY):
        work_dir = tmp_path / str(number)
        with pytest.raises(ProcessExitedException, match='SIGKILL'):
            run_ranks(watched, 2, work_dir, rank, number, False)
        count('SIGKILL of one of two FSDP ranks at a folder of shards')
        path, _ = find_newest(work_dir)
        step = steps[rank][number].replace(str(folder.parent), '')
        print(f'\nrank {rank}, before {number} of {len(steps[rank])}: {step};'
              f' whole: {path and Path(path).name}')
        if path is not None:
            check_checkpoint(path)
        run_ranks(watched, 2, work_dir, rank, None, True)
        resumed = load_whole(work_dir / 'iter_12.pth')
        for part in ('state_dict', 'optimizer'):
            assert_equal(resumed[part], expected[part], part)
        # A run that had nothing left to do removes nothing either.
        if path is None or Path(path).name != 'iter_12.pth':
            assert [p.name for p in work_dir.glob('*.pth')] == ['iter_12.pth']
        assert not list(work_dir.glob('.*'))
