"""A schedule goes on as if it had never been cut, whatever the groups."""
import copy
import io

import pytest
import torch
from mmdet.registry import PARAM_SCHEDULERS as MMDET
from mmengine.registry import PARAM_SCHEDULERS
from mmseg.registry import PARAM_SCHEDULERS as MMSEG

from agvm_mm.compat.checkpoint import allow_mmengine_checkpoints
from agvm_mm.compat.schedulers import _ParamScheduler, _regrouped
from tests.commands import ROOT
from tests.schedules import SCHEDULES
from tests.stack import read
from tests.toy import ToyDetector, build_wrapper

STEPS, CUT = 12, 5
PLAIN = dict(type='OptimWrapper')
# As many groups as by default, and others.
SWAPPED = dict(
    modules=dict(
        rpn_head=['rpn_head', 'roi_head.mask_head'],
        stem='backbone.0',
        other='roi_head.bbox_head'))
FEWER = dict(modules=dict(heads=['rpn_head', 'roi_head']))
ONE = dict(modules=dict(all=['backbone', 'neck', 'rpn_head', 'roi_head']))
ONE['anchor'] = 'all'
PARAMWISE = dict(paramwise_cfg=dict(custom_keys=dict(neck=dict(lr_mult=0.1))))
RESUMES = {
    'plain to many': (PLAIN, {}),
    'one to many': (ONE, {}),
    'many to one': ({}, ONE),
    'plain to one': (PLAIN, ONE),
    'few to many': (FEWER, {}),
    'many to few': ({}, FEWER),
    'others, as many': (SWAPPED, {}),
    'the same': ({}, {}),
}


def start(schedule, settings, optimizer='momentum'):
    model = ToyDetector()
    wrapper = build_wrapper(model, optimizer, **settings)
    schedule = dict(schedule)
    schedule.pop('_metrics', None)
    scheduler = PARAM_SCHEDULERS.build(
        schedule, default_args=dict(optimizer=wrapper))
    return model, wrapper, scheduler


def by_parameter(model, wrapper):
    """What each parameter is stepped with, by its name."""
    keys = ('lr', 'momentum', 'betas', 'weight_decay')
    names = {p: name for name, p in model.named_parameters()}
    return {
        f'{names[p]}.{key}': group[key]
        for group in wrapper.optimizer.param_groups for p in group['params']
        for key in keys if key in group
    }


def go_on(schedule, run, steps):
    model, wrapper, scheduler = run
    rates = []
    for _ in range(steps):
        scheduler.step()
        if schedule.get('_metrics'):
            # Which is as bad as ever.
            scheduler.step(dict(loss=1.0))
        rates.append(by_parameter(model, wrapper))
    return rates


def saved(wrapper, scheduler):
    """Their states, as they come back from a file."""
    file = io.BytesIO()
    torch.save([wrapper.state_dict(), scheduler.state_dict()], file)
    file.seek(0)
    allow_mmengine_checkpoints()
    return read(file)


def resumed_beside_uncut(schedule,
                         before,
                         after,
                         optimizer='momentum',
                         by_group=True):
    """Both runs' rates in every step after the cut, and the resumed run."""
    uncut = start(schedule, before, optimizer)
    go_on(schedule, uncut, CUT)
    states = saved(*uncut[1:])
    expected = go_on(schedule, uncut, STEPS - CUT)
    run = start(schedule, after, optimizer)
    for part, state in zip(run[1:], states):
        part.load_state_dict(state)
        if not by_group:
            _regrouped.discard(run[1])
    found = go_on(schedule, run, STEPS - CUT)
    return found, expected, run


def test_the_sweep_has_every_scheduler():
    known = set()
    for registry in (PARAM_SCHEDULERS, MMDET, MMSEG):
        registry.import_from_location()
        known |= set(registry.module_dict)
    stated = [s['type'].rpartition('.')[2] for s in SCHEDULES.values()]
    assert set(stated) == known
    assert len(stated) == len(known)


@pytest.mark.parametrize('paramwise', [{}, PARAMWISE], ids=['', 'paramwise'])
@pytest.mark.parametrize('resume', RESUMES)
@pytest.mark.parametrize('schedule', SCHEDULES)
def test_every_group_goes_on(schedule, resume, paramwise):
    schedule = SCHEDULES[schedule]
    before, after = ({**settings, **paramwise} for settings in RESUMES[resume])
    found, expected, (_, wrapper, scheduler) = resumed_beside_uncut(
        schedule, before, after)
    for ours, theirs in zip(found, expected):
        assert ours == pytest.approx(theirs, rel=1e-12)
    # It does something, or the sweep would say nothing.
    assert expected[0] != expected[-1]
    # What the log shows as the learning rate is that of most groups.
    most = max(value for key, value in expected[-1].items()
               if key.endswith('.lr'))
    lr = wrapper.get_lr()
    assert lr.get('base_lr', lr['lr']) == pytest.approx([most])
    for values in vars(scheduler).values():
        if isinstance(values, list) and len(values) > 3:
            assert len(values) == len(wrapper.param_groups)


@pytest.mark.parametrize('resume', RESUMES)
@pytest.mark.parametrize(
    'schedule',
    [name for name in SCHEDULES if 'Momentum' in name])
def test_the_first_beta_goes_on(schedule, resume):
    found, expected, _ = resumed_beside_uncut(
        SCHEDULES[schedule], *RESUMES[resume], optimizer='adamw')
    for ours, theirs in zip(found, expected):
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            assert ours[key] == pytest.approx(value), key


def test_other_optimizers_are_not_touched():
    """Once a run has resumed so, in the same process."""
    cosine = SCHEDULES['CosineAnnealingLR']
    resumed_beside_uncut(cosine, PLAIN, {})
    assert hasattr(_ParamScheduler.load_state_dict, '__wrapped__')
    for settings in (PLAIN, {}):
        _, wrapper, scheduler = start(cosine, settings)
        state = copy.deepcopy(scheduler.state_dict())
        state['base_values'] = [123.0]
        scheduler.load_state_dict(state)
        assert scheduler.base_values == [123.0]
        assert wrapper.param_groups


SHOWN = 'plain to many', 'one to many', 'few to many', 'many to one'


def stepped_right(schedule, resume, paramwise, by_group):
    """How many values are those of the uncut run throughout, and of all."""
    before, after = ({**s, **paramwise} for s in RESUMES[resume])
    found, expected, _ = resumed_beside_uncut(
        schedule, before, after, by_group=by_group)
    names = [
        name for name in expected[0]
        if any(rates[name] != expected[0][name] for rates in expected)
    ]
    right = [
        all(ours[name] == pytest.approx(theirs[name], rel=1e-12)
            for ours, theirs in zip(found, expected)) for name in names
    ]
    return sum(right), len(right)


def cell(schedule, resumes, by_group):
    """The worst of these resumes, with a paramwise_cfg and without."""
    right, of = min(
        stepped_right(schedule, resume, paramwise, by_group)
        for resume in resumes for paramwise in ({}, PARAMWISE))
    return f'{right} of {of}'


def table():
    """Of docs/reliability.md; what it shows is measured here."""
    rows = [f'| schedule | {" | ".join(SHOWN)} | here, all of them |',
            '|---' * (len(SHOWN) + 2) + '|']  # yapf: disable
    for name, schedule in SCHEDULES.items():
        cells = [cell(schedule, [resume], by_group=False) for resume in SHOWN]
        cells.append(cell(schedule, RESUMES, by_group=True))
        rows.append(f'| {" | ".join([name, *cells])} |')
    return '\n'.join(rows) + '\n'


def test_the_table_of_schedules():
    text = (ROOT / 'docs/reliability.md').read_text()
    assert table() in text, f'put this into docs/reliability.md:\n{table()}'
