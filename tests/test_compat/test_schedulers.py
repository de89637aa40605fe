"""A schedule goes on as if it had never been cut, whatever the groups."""
import copy

import pytest
from mmengine.registry import PARAM_SCHEDULERS

from agvm_mm.compat.schedulers import _ParamScheduler
from tests.toy import ToyDetector, build_wrapper

STEPS, CUT = 12, 5
SCHEDULES = dict(
    cosine=dict(type='CosineAnnealingLR', T_max=STEPS, eta_min_ratio=0.1),
    restart=dict(
        type='CosineRestartLR',
        eta_min=0,
        periods=[4, 8],
        restart_weights=[1, 0.5],
        begin=0,
        end=STEPS),
    linear=dict(type='LinearLR', start_factor=0.1, end=8),
    multi_step=dict(type='MultiStepLR', milestones=[3, 7]))
PLAIN = dict(type='OptimWrapper')
OTHER = dict(modules=dict(heads=['rpn_head', 'roi_head']))
PARAMWISE = dict(paramwise_cfg=dict(custom_keys=dict(neck=dict(lr_mult=0.1))))


def start(schedule, settings):
    wrapper = build_wrapper(ToyDetector(), **settings)
    return wrapper, PARAM_SCHEDULERS.build(
        dict(schedule, by_epoch=False), default_args=dict(optimizer=wrapper))


def by_parameter(wrapper):
    """Each parameter's learning rate, in the order of the model."""
    lr = {p: g['lr'] for g in wrapper.optimizer.param_groups
          for p in g['params']}  # yapf: disable
    return sorted(lr.values())


def go_on(wrapper, scheduler, steps):
    rates = []
    for _ in range(steps):
        scheduler.step()
        rates.append(by_parameter(wrapper))
    return rates


@pytest.mark.parametrize('paramwise', [{}, PARAMWISE], ids=['', 'paramwise'])
@pytest.mark.parametrize('schedule', SCHEDULES)
@pytest.mark.parametrize(('before', 'after'), [
    (PLAIN, {}),
    (OTHER, {}),
    ({}, OTHER),
    ({}, {}),
],
                         ids=['plain', 'fewer', 'more', 'same'])
def test_every_group_goes_on(before, after, schedule, paramwise):
    schedule = SCHEDULES[schedule]
    wrapper, scheduler = start(schedule, {**before, **paramwise})
    go_on(wrapper, scheduler, CUT)
    saved = copy.deepcopy((wrapper.state_dict(), scheduler.state_dict()))
    expected = go_on(wrapper, scheduler, STEPS - CUT)

    wrapper, scheduler = start(schedule, {**after, **paramwise})
    wrapper.load_state_dict(saved[0])
    scheduler.load_state_dict(saved[1])
    assert len(scheduler.base_values) == len(wrapper.param_groups)
    found = go_on(wrapper, scheduler, STEPS - CUT)
    for ours, theirs in zip(found, expected):
        assert ours == pytest.approx(theirs)
    # What the log shows as the base learning rate is that of most groups.
    assert wrapper.get_lr()['base_lr'] == pytest.approx([max(expected[-1])])


def test_other_optimizers_are_not_touched():
    """Once a run has resumed so, in the same process."""
    test_every_group_goes_on(PLAIN, {}, 'cosine', {})
    assert hasattr(_ParamScheduler.load_state_dict, '__wrapped__')
    for settings in (PLAIN, {}):
        wrapper, scheduler = start(SCHEDULES['cosine'], settings)
        state = copy.deepcopy(scheduler.state_dict())
        state['base_values'] = [123.0]
        scheduler.load_state_dict(state)
        assert scheduler.base_values == [123.0]
        assert wrapper.param_groups
