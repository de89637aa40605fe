"""Each rule of the verdict, on plain numbers."""
import re

import pytest
from reports import verdicts, worth

from tests.commands import ROOT

PAGE = (ROOT / 'docs/report.md').read_text()
OPEN = (0.5, 10.0)


@pytest.mark.parametrize(('batch', 'said'), [
    (512, '512 pays for every module, and more would.'),
    (900, '900 pays for every module, and more would.'),
    (2048, '2,048 still pays for backbone, and is past what neck and '
     'rpn_head can use.'),
    (4096, '4,096 is past what any module can use; at 3,100 an update would '
     'make half of the progress that it can make at all.'),
])
def test_the_batch_that_pays(batch, said):
    scales = dict(backbone=3080.0, neck=1204.0, rpn_head=900.0)
    assert verdicts.batch_that_pays(scales, batch) == (
        'By their noise scales rpn_head could use a batch of 900, neck 1,200, '
        f'backbone 3,100: {said}')


def test_a_module_without_a_signal_is_named():
    said = verdicts.batch_that_pays(dict(backbone=40.0, neck=None), 32)
    assert 'backbone could use a batch of 40 (neck showed no signal): ' in said
    assert verdicts.batch_that_pays(dict(backbone=None), 32) is None


def factors(*values):
    return dict(
        backbone=[(update, 1.0) for update in range(len(values))],
        neck=list(enumerate(values)))


def test_a_small_change_is_not_needed():
    assert verdicts.largest_change(factors(1, 0.972, 1.01), OPEN) == (
        'AGVM changed no rate by more than 3%: at this batch you do not need '
        'it.')
    # Not 4%, by the noise of a float.
    assert 'more than 3%' in verdicts.largest_change(factors(1, 1.03), OPEN)


def test_a_small_change_of_few_measurements_says_nothing():
    """A moving average is where it began, whatever the variances are."""
    said = verdicts.largest_change(factors(1, 1.03), OPEN, 0.97, 2)
    assert said.startswith('AGVM changed no rate by more than 3%, but factors '
                           'have gone 6% of their way after 2 measurements: ')
    assert 'do not need' not in said
    for measurements, needless in ((22, False), (23, True)):
        said = verdicts.largest_change(
            factors(1, 1.03), OPEN, 0.97, measurements)
        assert said.endswith('you do not need it.') == needless


@pytest.mark.parametrize(('values', 'said'), [
    ((1, 1.1, 2.2, 2.0), 'up to 2.20 times (neck, update 2).'),
    ((1, 1.1, 0.4), 'up to 0.40 times (neck, update 2).'),
])
def test_a_change_that_matters(values, said):
    assert verdicts.largest_change(factors(*values),
                                   OPEN) == (f'AGVM changed rates by {said}')


def test_what_was_measured_alone():
    assert 'changed no rate, as ratio_range=(1, 1)' in verdicts.largest_change(
        factors(1, 1), (1.0, 1.0))
    assert verdicts.largest_change({}, OPEN) is None


def test_factors_that_settle():
    values = [1.0] * 10 + [1.5] * 40 + [1.01] * 50
    assert verdicts.settled(factors(*values), 5, None) == (
        'After update 50 all factors are within 2% of 1: end=50 saves the '
        'last 9 measurements.')


@pytest.mark.parametrize(
    ('values', 'end'),
    [
        ([1.0] * 100, None),  # never moved
        ([1.5] * 100, None),  # never settled
        ([1.5] * 90 + [1.0] * 10, None),  # not for long
        ([1.5] * 50 + [1.0] * 50, 40),  # it ended before
    ])
def test_factors_that_do_not_settle(values, end):
    assert verdicts.settled(factors(*values), 5, end) is None


def test_variances_apart():
    assert verdicts.apart(1.94, 1.08, True).endswith(
        'were 1.9 times apart (largest over smallest median), those of their '
        'steps 1.1: AGVM brought them closer.')
    assert verdicts.apart(1.9, 2.5, True).endswith('them no closer.')
    assert verdicts.apart(2.0, 2.0, False).endswith('AGVM is worth a try.')
    assert verdicts.apart(1.9, 1.9, False).endswith('little to align.')


def test_factors_at_their_limit():
    said = verdicts.at_the_limit(
        dict(backbone=1.0, neck=3.12, bbox_head=0.72), OPEN)
    assert said.startswith('The factor of neck at 3.12 and bbox_head at 0.72 '
                           'stood at the limit that ratio_range=(0.5, 10.0)')
    assert verdicts.at_the_limit(dict(backbone=1.0, neck=3.0), OPEN) is None
    assert verdicts.at_the_limit(dict(neck=1.0), (1.0, 1.0)) is None


def test_skipped_measurements():
    why = 'the anchor, backbone, has a gradient that is not finite'
    assert verdicts.skipped(40, 134, why) == (
        f'40 of 134 measurements that were due were not taken: {why}.')
    assert verdicts.skipped(40, 134, None).endswith('were not taken.')
    assert verdicts.skipped(0, 134, None) is None


def test_a_run_that_is_not_over():
    said = 'The log ends at update 1,200 of 2,760.'
    assert verdicts.unfinished(1200, 2760, 50) == said
    assert verdicts.unfinished(2760, 2760, 50) is None
    assert verdicts.unfinished(2711, 2760, 50) is None
    assert verdicts.unfinished(2710, 2760, 50) is not None
    assert verdicts.unfinished(2760, None, 50) is None


def test_a_run_that_ended_before_agvm_began():
    assert verdicts.measured_nothing(560, None, 300) == (
        'AGVM measured nothing in 300 updates: it begins at update 560.')
    assert verdicts.measured_nothing(None, None, 300).endswith('300 updates.')
    assert verdicts.measured_nothing(20, 0, 300) == 'AGVM was off: end=0.'


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_a_loss_that_is_no_number(bad):
    assert verdicts.diverged([
        (10, 1.0), (20, bad), (30, bad)
    ]) == ('The loss is no number at update 20: the run diverged.')
    assert verdicts.diverged([(10, 1.0)]) is None


def test_waiting_for_data():
    times = [(1, 1.0), (2, 1.0)]
    assert verdicts.waits_for_data(
        [(1, 0.3), (2, 0.3)],
        times).startswith('Of the time of an update 30% is the wait for data')
    assert verdicts.waits_for_data([(1, 0.05), (2, 0.05)], times) is None
    assert verdicts.waits_for_data([], times) is None


@pytest.mark.parametrize(('number', 'said'), [(0.123, '0.12'), (2.84, '2.8'),
                                              (38.7, '39'), (3149, '3,100')])
def test_an_order_of_magnitude(number, said):
    assert verdicts.about(number) == said


def test_the_docs_state_each_rule():
    stated = dict(re.findall(r'^\| `(\w+)` \| `([\d.]+)` \|', PAGE, re.M))
    names = {**vars(verdicts), **vars(worth)}
    constants = {
        name: value
        for name, value in names.items() if name.isupper()
    }
    assert {name: float(value) for name, value in stated.items()} == constants
    rules = [
        name for name, value in names.items()
        if callable(value) and getattr(value, '__module__', '') in
        ('reports.verdicts', 'reports.worth')
        and not name.startswith('_') and name != 'about'
    ]
    told = re.findall(r'^### .*\(`(\w+)`\)$', PAGE, re.M)
    assert sorted(told) == sorted(rules)
