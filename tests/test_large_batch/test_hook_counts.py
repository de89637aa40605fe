"""Hooks and parts of models that count iterations count updates."""
import copy
from types import SimpleNamespace

import pytest
from mmengine.hooks import EMAHook, ParamSchedulerHook
from mmengine.model import MomentumAnnealingEMA
from mmengine.registry import HOOKS, init_default_scope
from mmengine.runner import LogProcessor
from torch import nn

from agvm_mm.large_batch import resolve
from tests.test_large_batch.test_iterations import config

UPDATES = 24


def with_hooks(*hooks, **more):
    cfg = config(**more)
    cfg.custom_hooks = list(hooks)
    return cfg


class Students(nn.Module):
    """As mmdet's semi-supervised detectors; the student is trained."""

    def __init__(self):
        super().__init__()
        self.student = nn.Linear(1, 1)
        self.teacher = nn.Linear(1, 1)
        nn.init.constant_(self.student.weight, 0.)


def averages(settings, world_size, updates=range(UPDATES), state=None):
    """The average after every update, by a hook that resolve made.

    The weight is the count of updates, whatever the accumulation is.
    """
    cfg = resolve(with_hooks(settings, max_samples_per_gpu=16), world_size)
    counts = cfg.optim_wrapper.accumulative_counts
    assert counts == 4 // world_size
    model = Students()
    runner = SimpleNamespace(
        model=model,
        iter=updates[0] * counts,
        epoch=0,
        max_iters=1000,
        max_epochs=10)
    hook = HOOKS.build(copy.deepcopy(cfg.custom_hooks[0]))
    hook.before_run(runner)
    hook.before_train(runner)
    if state is not None:
        hook.ema_model.load_state_dict(state)
    found = []
    for update in updates:
        runner.epoch = update // 4
        for micro_batch in range(counts):
            if micro_batch == counts - 1:
                nn.init.constant_(model.student.weight, update + 1.)
            hook.after_train_iter(runner, 0)
            runner.iter += 1
        average = (
            hook.ema_model.module.student
            if hasattr(hook, 'ema_model') else model.teacher)
        found.append(average.weight.item())
    return found, hook


EMA = dict(type='EMAHook', momentum=0.05)
HOOKS_THAT_AVERAGE = [
    EMA,
    dict(EMA, interval=3, begin_iter=5),
    dict(EMA, begin_epoch=2),
    dict(EMA, ema_type='MomentumAnnealingEMA', gamma=4),
    dict(EMA, type=EMAHook, ema_type=MomentumAnnealingEMA, interval=2),
    dict(EMA, ema_type='mmdet.ExpMomentumEMA', gamma=4),
    dict(EMA, ema_type='mmdet.ExpMomentumEMA', begin_iter=3, interval=2),
    dict(type='mmengine.EMAHook', ema_type='StochasticWeightAverage'),
    dict(type='EMAHook', ema_type='StochasticWeightAverage', begin_epoch=2),
    dict(type='mmdet.MeanTeacherHook', momentum=0.05),
    dict(type='mmdet.MeanTeacherHook', momentum=0.05, interval=2),
]


@pytest.mark.parametrize('hook', HOOKS_THAT_AVERAGE, ids=str)
def test_averages_do_not_depend_on_the_processes(hook):
    pytest.importorskip('mmdet')
    init_default_scope('mmdet')
    plain, _ = averages(hook, 4)  # one micro-batch an update
    for world_size in (1, 2):
        found, _ = averages(hook, world_size)
        assert found == pytest.approx(plain, abs=1e-5)
    assert len({round(value, 3) for value in plain}) > 5


@pytest.mark.parametrize('kind',
                         ['StochasticWeightAverage', 'MomentumAnnealingEMA'])
def test_an_average_goes_on_with_another_accumulation(kind):
    hook = dict(type='EMAHook', ema_type=kind)
    plain, _ = averages(hook, 4)
    _, first = averages(hook, 1, range(10))
    found, _ = averages(hook, 2, range(10, UPDATES),
                        first.ema_model.state_dict())
    assert found == pytest.approx(plain[10:], abs=1e-5)


@pytest.mark.parametrize('worlds', [(4, 1), (4, 16), (1, 2, 8), (1, 16, 4)])
def test_averages_are_set_again(worlds):
    hooks = [copy.deepcopy(hook) for hook in HOOKS_THAT_AVERAGE]
    # Where it is left out, its default is written.
    hooks = [dict(dict(interval=1, begin_iter=1), **hook) for hook in hooks]
    cfg = before = with_hooks(*hooks)
    for world_size in worlds:
        cfg = resolve(cfg, world_size)
    assert cfg.to_dict() == resolve(before, worlds[-1]).to_dict()


@pytest.mark.parametrize('field', [
    'default_hooks', 'log_processor', 'custom_hooks', 'auto_scale_lr',
    'param_scheduler'
])
def test_none_is_what_mmengine_takes_it_for(field):
    cfg = config()
    cfg[field] = None
    none = resolve(cfg, 4)
    cfg.pop(field)
    left_out = resolve(cfg, 4)
    assert none.get(field) == left_out.get(field)
    assert none.optim_wrapper == left_out.optim_wrapper


def test_a_count_may_be_written_as_a_float():
    hook = dict(type='MemoryProfilerHook', interval=2e1)
    cfg = resolve(with_hooks(hook, max_samples_per_gpu=16), 1)
    assert cfg.custom_hooks[0].interval == 20 * 4


def test_a_default_hook_that_is_switched_off_stays_off():
    cfg = config(default_hooks=dict(logger=None, timer=None))
    hooks = resolve(cfg, 4).default_hooks
    assert hooks.logger is None
    assert hooks.timer is None


@pytest.mark.parametrize(('field', 'value'), [
    ('default_hooks', [dict(type='LoggerHook')]),
    ('custom_hooks', dict(type='EMAHook')),
    ('train_cfg', None),
    ('train_dataloader', 'a built one'),
    ('train_dataloader.sampler', None),
    ('auto_scale_lr', True),
])
def test_what_cannot_be_set_is_named(field, value):
    cfg = config()
    owner, _, key = field.rpartition('.')
    (cfg[owner] if owner else cfg)[key] = value
    with pytest.raises(ValueError, match=f'{field}=.* must be a (dict|list)'):
        resolve(cfg, 4)


def test_what_counts_and_is_built_is_named():
    cfg = with_hooks(EMAHook())
    with pytest.raises(ValueError, match=r'custom_hooks\[0\]=.*as a dict'):
        resolve(cfg, 4)
    resolve(cfg, 16)  # One micro-batch: as it was built.
    cfg = config()
    cfg.log_processor = LogProcessor()
    with pytest.raises(ValueError, match=r'log_processor=.*as a dict'):
        resolve(cfg, 4)


class OwnParamSchedulerHook(ParamSchedulerHook):
    """As mmyolo's."""


@pytest.mark.parametrize('hook', [
    dict(type='YOLOv5ParamSchedulerHook', lr_factor=0.01),
    dict(type=OwnParamSchedulerHook),
    OwnParamSchedulerHook(), None
])
def test_what_steps_the_schedulers_is_never_replaced_in_silence(hook):
    cfg = config()
    cfg.default_hooks.param_scheduler = hook
    with pytest.raises(
            ValueError, match=r'default_hooks\.param_scheduler=.*[Ll]eave'):
        resolve(cfg, 16)


@pytest.mark.parametrize('hook', [
    dict(type='ParamSchedulerHook', priority='LOW'),
    dict(type=ParamSchedulerHook, priority='LOW'),
    dict(type='mmengine.hooks.ParamSchedulerHook', priority='LOW')
])
def test_mmengines_own_is_replaced(hook):
    cfg = config()
    cfg.default_hooks.param_scheduler = hook
    assert resolve(cfg, 4).default_hooks.param_scheduler == dict(
        type='UpdateParamSchedulerHook', accumulative_counts=4, priority='LOW')
    cfg = with_hooks(hook)
    with pytest.raises(ValueError, match=r'custom_hooks\[0\]'):
        resolve(cfg, 4)


def test_counts_inside_of_a_model():
    cfg = config(
        model=dict(
            data_preprocessor=dict(batch_augments=[
                dict(type='mmdet.BatchSyncRandomResize', interval=10)
            ]),
            neck=dict(plugins=[
                dict(cfg=dict(type='DropBlock', warmup_iters=500)),
                dict(cfg=dict(type='DropBlock'))
            ]),
            mask_head=dict(type='BoxInstMaskHead'),
            train_cfg=dict(
                rcnn=dict(dynamic_rcnn=dict(update_iter_interval=100)))))
    model = resolve(cfg, 4).model
    assert model.data_preprocessor.batch_augments[0].interval == 40
    first, second = model.neck.plugins
    assert (first.cfg.warmup_iters, second.cfg.warmup_iters) == (2000, 8000)
    assert model.mask_head.warmup_iters == 40000
    assert model.train_cfg.rcnn.dynamic_rcnn.update_iter_interval == 400
    again = resolve(resolve(cfg, 4), 1)
    assert again.to_dict() == resolve(cfg, 1).to_dict()
