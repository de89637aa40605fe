import logging
import math
from types import SimpleNamespace

import pytest
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from agvm_mm.large_batch import (
    TotalBatchSizeHook,
    linear_lr,
    resolve,
    split_batch,
    square_root_lr,
    updates_per_epoch,
)
from tests.test_large_batch.test_sampler import toy_config


@pytest.mark.parametrize(('total', 'processes', 'most', 'expected'), [
    (1536, 768, 16, (2, 1)),
    (1536, 8, 16, (16, 12)),
    (1536, 8, 5, (4, 48)),
    (512, 1, 16, (16, 32)),
    (32, 8, 16, (4, 1)),
    (31, 1, 16, (1, 31)),
    (1, 1, 16, (1, 1)),
])
def test_split(total, processes, most, expected):
    assert split_batch(total, processes, most) == expected
    samples, counts = expected
    assert samples * counts * processes == total


def test_agvm_gets_two_replicas():
    assert split_batch(16, 1, 16) == (16, 1)
    assert split_batch(16, 1, 16, min_replicas=2) == (8, 2)
    assert split_batch(16, 2, 16, min_replicas=2) == (8, 1)
    with pytest.raises(ValueError, match='the nearest possible is 2'):
        split_batch(1, 1, 16, min_replicas=2)


@pytest.mark.parametrize(('processes', 'fits'), [(1, True), (2, False),
                                                 (4, True)])
def test_a_static_graph_is_not_accumulated(tmp_path, processes, fits):
    cfg = toy_config(tmp_path, by_iteration=False)
    cfg.merge_from_dict(
        dict(
            total_batch_size=8,
            train_dataloader=dict(batch_size=2),
            model_wrapper_cfg=dict(
                type='MMDistributedDataParallel', static_graph=True)))
    if fits:
        resolve(cfg, processes)
        return
    with pytest.raises(
            ValueError,
            match=r'8 on 2 processes has 2 micro-batches .* train on 4 proc'):
        resolve(cfg, processes)


@pytest.mark.parametrize(('arguments', 'message'), [
    ((1536, 7, 16, 1, 5), r'1536 does not split evenly over 7 processes, as '
     'unit=5 needs. The nearest possible total_batch_size is 1533 or 1540; or '
     'train on 6 or 8 processes'),
    ((512, 768, 16), r'768 or more; or train on 512 processes or fewer'),
    ((0, 1, 16), r'total_batch_size=0 must be an int >= 1'),
    (('512', 1, 16), r"total_batch_size='512' must be"),
    ((512, True, 16), r'world_size=True must be'),
    ((512, 1, 0), r'max_samples_per_gpu=0 must be'),
])
def test_impossible_totals_list_the_nearest(arguments, message):
    with pytest.raises(ValueError, match=message):
        split_batch(*arguments)


def test_rules():
    assert updates_per_epoch(117266, 1536) == 77
    assert updates_per_epoch(1024, 512) == 2
    assert linear_lr(0.02, 16, 32) == 0.04
    # The official configs: 0.16 sqrt(2) at 256, and Mask R-CNN's 0.32 at 512.
    assert square_root_lr(0.16 * math.sqrt(2), 256, 512) == pytest.approx(0.32)


def warnings_of(cfg, name):
    """Train, and return what is warned of before the first iteration."""
    cfg.experiment_name = name
    runner = Runner.from_cfg(cfg)
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    MMLogger.get_current_instance().addHandler(handler)
    runner.train()
    return [
        r.getMessage() for r in records
        if r.levelno == logging.WARNING and 'total_batch_size' in str(r.msg)
    ]


def test_the_hook_warns_where_resolve_did_not_run(tmp_path):
    cfg = toy_config(tmp_path, by_iteration=False)
    cfg.optim_wrapper.accumulative_counts = 2  # for AGVM's replicas
    message, = warnings_of(cfg, 'unresolved')
    assert 'The config states total_batch_size=8, but 4 runs' in message
    assert ("set runner_type='TotalBatchRunner', or set train_dataloader."
            'batch_size=2 and optim_wrapper.accumulative_counts=4, and '
            'multiply by 4 whatever') in message
    cfg.max_samples_per_gpu = None
    assert warnings_of(cfg, 'unset') == [message]
    cfg.total_batch_size = 1
    message, = warnings_of(cfg, 'impossible')
    assert 'leaves AGVM a single gradient' in message
    cfg.optim_wrapper.agvm.end = 0
    message, = warnings_of(cfg, 'switched_off')
    assert 'or set train_dataloader.batch_size=1 and' in message


def test_the_hook_is_silent_where_the_total_runs(tmp_path):
    cfg = resolve(toy_config(tmp_path, by_iteration=False), 1)
    assert warnings_of(cfg, 'resolved') == []


@pytest.mark.parametrize(('total', 'warned'), [(None, 0), (8, 1)])
def test_the_hook_takes_batches_that_tell_no_size(total, warned):
    said = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    runner = SimpleNamespace(
        cfg=dict(total_batch_size=total),
        train_dataloader=SimpleNamespace(batch_sampler=iter([[0, 1]])))
    TotalBatchSizeHook().before_train(runner)
    logger.removeHandler(handler)
    assert len(said) == warned


def test_the_hook_refuses_a_rate_that_mmengine_scaled():
    runner = SimpleNamespace(
        cfg=dict(total_batch_size=8, auto_scale_lr=dict(enable=True)))
    with pytest.raises(ValueError, match=r'auto_scale_lr\.enable=True'):
        TotalBatchSizeHook().before_train(runner)
