"""What is allowed and hardly meant is said once, before the run."""
import logging

import pytest
from mmengine.hooks import EMAHook, Hook
from mmengine.logging import MMLogger
from mmengine.registry import HOOKS

from agvm_mm.large_batch import resolve, split_batch
from agvm_mm.large_batch.plan import learning_rates, make_plan
from tests.test_large_batch.test_iterations import config


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
def _said():
    said = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())
    logger = MMLogger.get_current_instance()
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
