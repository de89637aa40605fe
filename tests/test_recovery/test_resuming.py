"""All ranks go on from one checkpoint, or none does."""
import ctypes
import logging
import os
import subprocess
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS

from agvm_mm.recovery import resuming
from agvm_mm.recovery.newest import find_newest
from agvm_mm.recovery.resuming import settle_elastic_resume, settle_resume
from tests.distributed import run_ranks
from tests.test_recovery.runs import (
    HeavyToyDetector,
    log_of,
    run_config,
    train,
)

OURS = ('TotalBatchRunner', 'TotalBatchFlexibleRunner')

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


def for_a_test(cfg, checkpoint):
    """A run's config, as it is dumped when the run was resumed, for a test."""
    loader = dict(
        batch_size=1,
        collate_fn=dict(type='default_collate'),
        dataset=cfg.train_dataloader.dataset,
        sampler=dict(type='DefaultSampler', shuffle=False))
    cfg.merge_from_dict(
        dict(
            resume=True,
            load_from=str(checkpoint),
            test_cfg=ConfigDict(),
            test_dataloader=loader,
            test_evaluator=dict(type='Evaluator', metrics=[])))
    return RUNNERS.build(cfg)


@pytest.mark.parametrize('kind', OURS)
def test_the_best_checkpoint_of_a_run_that_was_resumed_is_tested(
        kind, tmp_path):
    """It holds weights alone. A training after the test would resume."""
    settings = dict(
        runner_type=kind,
        validates=True,
        checkpoint=dict(save_best='acc', rule='greater'))
    train(tmp_path / 'own', **settings)
    best, = (tmp_path / 'own').glob('best_*')
    runner = for_a_test(run_config(tmp_path / 'test', **settings), best)
    assert runner.test() == {}
    assert 'The training goes on from' not in log_of(tmp_path / 'test')
    if kind == 'TotalBatchFlexibleRunner':
        return  # MMEngine's cannot train after a test.
    runner = for_a_test(
        run_config(tmp_path / 'both', **settings),
        tmp_path / 'own/epoch_2.pth')
    runner.test()
    began = []
    runner.register_hook(Began(began))
    runner.train()
    assert began == [2]


class Began(Hook):
    """Notes the epoch in which a training begins."""

    def __init__(self, epochs):
        self.epochs = epochs

    def before_train_epoch(self, runner):
        self.epochs.append(runner.epoch)


def test_a_resume_without_the_optimizer(tmp_path):
    train(tmp_path / 'a', checkpoint=dict(save_optimizer=False))
    runner = RUNNERS.build(
        run_config(
            tmp_path / 'b',
            runner_type='TotalBatchRunner',
            param_scheduler=None))
    runner.resume(
        str(tmp_path / 'a/epoch_2.pth'),
        resume_optimizer=False,
        resume_param_scheduler=False)
    runner._has_loaded = True
    runner.train()
    assert runner.epoch == 3


def test_a_link_to_the_work_dir_is_the_work_dir(tmp_path):
    train(tmp_path / 'a', runner_type='TotalBatchRunner')
    (tmp_path / 'link').symlink_to(tmp_path / 'a')
    train(
        tmp_path / 'a',
        runner_type='TotalBatchRunner',
        resume=True,
        load_from=str(tmp_path / 'link/epoch_2.pth'))
    assert 'and not from' not in log_of(tmp_path / 'a')


@pytest.mark.parametrize('kind', ['Runner', *OURS])
def test_weights_beside_no_checkpoint_are_no_run_to_resume(kind, tmp_path):
    weights = dict(state_dict=HeavyToyDetector().state_dict())
    torch.save(weights, tmp_path / 'pretrained.pth')
    assert find_newest(tmp_path) == (None, [])
    assert train(tmp_path, runner_type=kind, resume=True).epoch == 3


def test_folders_of_another_strategy_are_left_to_it(tmp_path):
    """DeepSpeed's, of which an object stands in: its library is not here."""
    (tmp_path / 'epoch_1.pth').mkdir()
    runner = SimpleNamespace(_resume=True, _load_from=None, strategy=object())
    settle_resume(runner)
    assert (runner._resume, runner._load_from) == (True, None)
