"""All ranks go on from one checkpoint, or none does."""
import ctypes
import logging
import os
import subprocess
from types import SimpleNamespace

import pytest

from agvm_mm.recovery import resuming
from agvm_mm.recovery.newest import find_newest
from agvm_mm.recovery.resuming import settle_elastic_resume
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


def test_its_checkpoints_are_read_once(tmp_path, monkeypatch):
    train(tmp_path)
    asked = []
    monkeypatch.setattr(
        resuming, 'find_newest',
        lambda *places: asked.append(places) or find_newest(*places))
    assert train(tmp_path, resume=True)._load_from.endswith('epoch_3.pth')
    assert len(asked) == 1


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


@pytest.mark.parametrize('kind',
                         ['TotalBatchRunner', 'TotalBatchFlexibleRunner'])
def test_a_run_that_goes_on_from_elsewhere_says_so(kind, tmp_path):
    """As mmseg's own --resume beside a load_from of the config."""
    own, elsewhere = tmp_path / 'own', tmp_path / 'earlier/epoch_1.pth'
    train(elsewhere.parent)
    told = dict(runner_type=kind, resume=True, load_from=str(elsewhere))
    train(own, **told)  # It has nothing of its own yet.
    assert 'goes on from load_from' not in log_of(own)
    train(own, **told)
    assert log_of(own).count(
        f'The training goes on from load_from={elsewhere}, and not from '
        f'{own}/epoch_3.pth') == 1
    # An older one of its own is meant.
    train(own, **dict(told, load_from=str(own / 'epoch_2.pth')))
    assert 'goes on from load_from' not in log_of(own)


def settled(work_dir, formed_before, resume=False, load_from=None):
    """What an elastic run goes on from, or how it is refused."""
    runner = SimpleNamespace(
        work_dir=str(work_dir),
        hooks=[],
        logger=logging.getLogger('elastic'),
        _resume=resume,
        _load_from=load_from)
    settle_elastic_resume(runner, formed_before)
    return runner._resume, runner._load_from


def test_an_elastic_run_goes_on_by_itself(tmp_path):
    for told in ((False, None), (False, 'backbone.pth'), (True, 'old.pth'),
                 ('old.pth', None)):
        # Nothing is saved yet: as it was told, each time.
        assert settled(tmp_path, False, *told) == told
        assert settled(tmp_path, True, *told) == told
    train(tmp_path)
    newest = str(tmp_path / 'epoch_3.pth')
    for told in ((False, None), (False, 'backbone.pth'), (True, 'old.pth'),
                 ('old.pth', None), (True, None)):
        assert settled(tmp_path, True, *told) == (True, newest)
    # Of a run that was cut off between two names.
    os.rename(newest, tmp_path / '.epoch_3.pth.replaced')
    assert settled(tmp_path, True) == (True, newest)


def test_an_elastic_run_takes_no_checkpoint_of_another(tmp_path):
    train(tmp_path)
    newest, older = (str(tmp_path / f'epoch_{n}.pth') for n in (3, 2))
    assert settled(tmp_path, False, True) == (True, newest)
    for told in ((True, newest), (newest, None)):
        assert settled(tmp_path, False, *told) == told
    for told in ((False, None), (False, newest), (True, older), (older, None)):
        with pytest.raises(ValueError, match=r'epoch_3\.pth of an earlier'):
            settled(tmp_path, False, *told)
    # Nor one that was cut off between two names, and alone is there.
    for path in tmp_path.glob('epoch_[12].pth'):
        path.unlink()
    os.rename(newest, tmp_path / '.epoch_3.pth.replaced')
    with pytest.raises(ValueError, match=r'epoch_3\.pth of an earlier'):
        settled(tmp_path, False)
