"""What is allowed and hardly meant is said once, before the run."""
import copy
import logging

import pytest
from mmengine.config import Config
from mmengine.hooks import EMAHook, Hook
from mmengine.logging import MMLogger
from mmengine.registry import HOOKS, RUNNERS

from agvm_mm.large_batch import resolve, split_batch
from agvm_mm.large_batch.doubts import warm_up_doubts
from agvm_mm.large_batch.plan import learning_rates, make_plan
from tests.commands import ROOT
from tests.test_large_batch.test_iterations import config
from tests.test_large_batch.test_sampler import toy_config


class CountingHook(Hook):
    """A user's own."""

    def after_train_iter(self, runner, *args, **kwargs):
        """Count."""


class BothWaysHook(Hook):
    """A user's own, by what MMEngine calls around all iterations."""

    def _before_iter(self, runner, *args, **kwargs):
        """Count."""


class EpochHook(Hook):
    """A user's own that counts none."""

    def after_train_epoch(self, runner):
        """Count."""


class OwnEMAHook(EMAHook):
    """A user's own, of a known one."""


@pytest.fixture(name='said')
def _said(request):
    said = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())
    # Its own, or it could be that of another test, as of a second rank.
    logger = MMLogger.get_instance(request.node.name)
    logger.addHandler(handler)
    yield said
    logger.removeHandler(handler)


def small(**more):
    return config(total_batch_size=296, max_samples_per_gpu=16, **more)


def test_a_split_far_below_what_fits(said):
    cfg = resolve(small(), 8)
    assert cfg.train_dataloader.batch_size == 1
    assert len(said) == 1
    assert '37 micro-batches of 1,' in said[0]
    assert 'is 288 or 312, as 3 micro-batches' in said[0]
    for total in (288, 312):
        assert split_batch(total, 8, 16)[1] == 3
    # As train.py does before the runner.
    resolve(cfg, 8)
    assert len(said) == 1
    resolve(cfg, 37)
    assert len(said) == 1


def test_a_plan_says_it_once(said):
    cfg = small()
    plan = make_plan(cfg, 8)
    learning_rates(cfg, plan)
    assert len(said) == 1


@pytest.mark.parametrize(('total', 'world_size'), [(64, 4), (64, 16), (24, 2),
                                                   (8, 8), (2, 1)])
def test_other_splits_say_nothing(said, total, world_size):
    resolve(config(total_batch_size=total), world_size)
    assert said == []


def test_the_most_that_fits_is_kept():
    """Where it is train_dataloader.batch_size, which resolve sets."""
    cfg = small()
    cfg.pop('max_samples_per_gpu')
    cfg.train_dataloader.batch_size = 16
    again = resolve(resolve(cfg, 8), 37)
    assert again.to_dict() == resolve(cfg, 37).to_dict()
    assert again.train_dataloader.batch_size == 8


BUNDLED = Config.fromfile(
    ROOT / 'configs/faster_rcnn/faster-rcnn_r50_fpn_agvm-sgd_16e_bs512_coco.py'
)


@pytest.mark.parametrize(('end', 'share'), [(461, None), (231, '0.0316'),
                                            (600, '8.06')])
def test_a_gamma_that_belongs_to_another_end(end, share):
    cfg = copy.deepcopy(BUNDLED)
    cfg.param_scheduler[1].end = end
    told = warm_up_doubts(resolve(cfg, 16), 16 * 230 * 2, 16)
    assert [f'at update {end} with {share} times optimizer.lr=0.38: ' in one
            for one in told] == [True] * (share is not None)  # yapf: disable
    # A warm-up of another kind may end where it likes.
    cfg.param_scheduler[1] = dict(
        type='LinearLR', start_factor=0.1, by_epoch=False, end=end)
    assert warm_up_doubts(resolve(cfg, 16), 16 * 230 * 2, 16) == []
    # And beside it a rate may fall from the start.
    cfg.param_scheduler.append(
        dict(type='ExponentialLR', gamma=0.998, by_epoch=False, end=3000))
    assert warm_up_doubts(resolve(cfg, 16), 16 * 230 * 2, 16) == []


@pytest.mark.parametrize('updates', [459, 460, 461, 462])
def test_a_warm_up_without_an_end(updates):
    cfg = resolve(BUNDLED, 16)
    told = warm_up_doubts(cfg, updates * 2, 1)
    assert len(told) == (updates < 461)
    for one in told:
        assert f'ends at update 461, and the run at {updates}, so' in one


def test_schedulers_that_cannot_be_built_are_left_to_mmengine():
    cfg = resolve(BUNDLED, 16)
    cfg.param_scheduler.append(dict(type='LinearLR', start_factor=-1))
    assert warm_up_doubts(cfg, 920, 1) == []


@pytest.mark.parametrize('kind',
                         ['TotalBatchRunner', 'TotalBatchFlexibleRunner'])
def test_a_run_tells_of_its_warm_up_once(kind, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(
        'agvm_mm.engine.runner.print_log', lambda message, *args, **kwargs:
        told.append(message))
    cfg = toy_config(tmp_path, by_iteration=True)
    cfg.runner_type, cfg.max_samples_per_gpu = kind, 4
    cfg.experiment_name = f'{tmp_path}'
    cfg.env_cfg = dict(dist_cfg=dict(backend='gloo'))
    cfg.param_scheduler = [
        dict(
            type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=20)
    ]
    RUNNERS.build(cfg).train()
    assert [one for one in told if 'warm-up' in one] == [
        'The warm-up of param_scheduler ends at update 20, and the run at '
        f'{cfg.train_cfg.max_iters}, so that it never has the rate of its '
        'optimizer: shorten the warm-up, or train longer'
    ]


def test_hooks_that_are_not_known_are_named(said):
    HOOKS.register_module(module=CountingHook, force=True)
    cfg = config()
    cfg.custom_hooks = [
        dict(type='CountingHook'),
        dict(type='LoggerHook'),
        dict(type=EpochHook),
        BothWaysHook(),
        dict(type=OwnEMAHook),
        dict(type='NoSuchHook')
    ]
    try:
        resolve(cfg, 16)  # One micro-batch.
        assert said == []
        resolve(cfg, 4)
    finally:
        HOOKS.module_dict.pop('CountingHook')
    assert len(said) == 1
    assert said[0].startswith(
        'custom_hooks[0] (CountingHook), custom_hooks[3] (BothWaysHook), '
        'custom_hooks[4] (OwnEMAHook): acts on iterations')
