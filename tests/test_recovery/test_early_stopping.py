"""A run that is cut stops early where one that never was does."""
import pytest

from tests.test_recovery import runs
from tests.test_recovery.runs import train

STOPS = dict(
    custom_hooks=[
        dict(type='EarlyStoppingHook', monitor='acc', patience=2)
    ],
    validates=True)


@pytest.fixture(name='constant', autouse=True)
def _constant(monkeypatch):
    """Validations of which none is better than the first."""
    monkeypatch.setattr(runs, 'METRICS', [dict(acc=0.5, loss=0.5)] * 9)


@pytest.mark.parametrize('checkpoint', [{}, dict(save_best='acc')],
                         ids=['', 'best'])
@pytest.mark.parametrize('runner_type',
                         ['TotalBatchRunner', 'TotalBatchFlexibleRunner'])
def test_a_resumed_run_counts_on(tmp_path, runner_type, checkpoint):
    settings = dict(
        STOPS,
        runner_type=runner_type,
        checkpoint=checkpoint,
        **{'train_cfg.max_epochs': 8})
    assert train(tmp_path / 'whole', **settings).epoch == 3
    for epoch in (1, 2, 3):
        first = train(
            tmp_path / f'{epoch}',
            **dict(settings, **{'train_cfg.max_epochs': epoch}))
        assert first.epoch == epoch
        assert train(
            tmp_path / f'{epoch}', resume=True, **settings).epoch == 3


def test_it_can_be_left_to_mmengine(tmp_path):
    runner = train(
        tmp_path, recovery=dict(early_stopping=False), **STOPS)
    assert [type(hook).__name__ for hook in runner.hooks
            if 'Early' in type(hook).__name__] == ['EarlyStoppingHook']


def test_a_run_that_had_stopped_stays_so(tmp_path, monkeypatch):
    """Its last checkpoint is newer than its validation: it has a new best."""
    monkeypatch.setattr(runs, 'METRICS', [
        dict(acc=0.5, loss=9.0 - epoch) for epoch in range(9)
    ])
    settings = dict(
        STOPS,
        checkpoint=dict(save_best='loss', rule='less'),
        **{'train_cfg.max_epochs': 8})
    assert train(tmp_path, **settings).epoch == 3
    assert train(tmp_path, resume=True, **settings).epoch == 3
