"""All ranks go on from one checkpoint, or none does."""
import ctypes
import os
import subprocess

import pytest

from tests.distributed import run_ranks
from tests.test_recovery.runs import log_of, train

CLONE_NEWNS = 0x20000


def resume(rank, work_dir, hidden):
    """Resume; the second rank is on a machine that does not share it."""
    if hidden and rank == 1:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNS):
            return 'not allowed'
        subprocess.run(['mount', '--make-rprivate', '/'], check=True)
        subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', work_dir], check=True)
    os.environ['LOCAL_RANK'] = str(rank)
    try:
        runner = train(
            work_dir,
            resume=True,
            launcher='pytorch',
            processes=2,
            model_wrapper_cfg=dict(type='CPUDistributedDataParallel'))
    except ValueError as error:
        return str(error)
    return runner._load_from


def can_hide(tmp_path):
    return os.geteuid() == 0 and subprocess.run(
        ['unshare', '-m', 'mount', '-t', 'tmpfs', 'tmpfs', tmp_path],
        check=False,
        stderr=subprocess.DEVNULL).returncode == 0


def test_all_ranks_take_the_newest_whole_one(tmp_path):
    train(tmp_path)
    newest = tmp_path / 'epoch_3.pth'
    newest.write_bytes(newest.read_bytes()[:1000])
    (tmp_path / 'last_checkpoint').write_text('')
    assert run_ranks(resume, 2, tmp_path, False) == [
        str(tmp_path / 'epoch_2.pth')
    ] * 2
    assert log_of(tmp_path).count('Resume passes over') == 1


def test_a_rank_that_does_not_see_it_ends_all_in_one_sentence(tmp_path):
    if not can_hide(tmp_path):
        pytest.skip('needs the right to mount')
    train(tmp_path)
    said = run_ranks(resume, 2, tmp_path, True)
    assert said[0] == said[1]
    assert f'{tmp_path}/epoch_3.pth is to be resumed, but processes on ' in (
        said[0])
