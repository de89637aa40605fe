"""What the study says of its results."""
import math
import re

import pytest
from studies.cells import Cell, cells, step_variances, updates_to, variances
from studies.claims import alignment, claims
from studies.overview import write_overview
from studies.report import write_report
from studies.runs import Run
from studies.short_claims import short_claims

from tests.commands import ROOT

from .study_results import measured, result


def seeds(method, batch, finals, tag='', **more):
    """Runs on the test split, one a seed."""
    return [
        result(
            Run('faster-rcnn', method, batch, 0.02, seed, 'test', tag), final,
            **more) for seed, final in enumerate(finals)
    ]


@pytest.fixture(name='results')
def _results():
    """A study in which AGVM wins at batch 128, and loses to LAMB."""
    even = measured(backbone=0.5, neck=0.4, rpn_head=0.3)
    uneven = measured(backbone=0.9, neck=0.4, rpn_head=0.1)
    return [
        *seeds('sgd', 8, [0.5, 0.51, 0.49]),
        *seeds('sgd', 128, [0.2, 0.21, 0.19]),
        *seeds('sgd-measured', 8, [0.5], agvm=even),
        *seeds('sgd-measured', 128, [0.2], agvm=uneven),
        *seeds('agvm-sgd', 8, [0.5, 0.51, 0.52], agvm=even),
        *seeds('agvm-sgd', 128, [0.3, 0.31, 0.29], agvm=even),
        *seeds('lars', 128, [0.1, 0.5, 0.3]),
        *seeds('lamb', 128, [0.4, 0.41, 0.42]),
        *seeds('agvm-sgd', 128, [0.3, 0.3, 0.31], tag='baseline'),
        *seeds('sgd', 128, [0.2, 0.3, 0.4], tag='baseline'),
        *seeds('agvm-sgd', 128, [0.3, 0.31, 0.3], tag='averaging-half'),
        *seeds('agvm-sgd', 128, [0.1, 0.11, 0.1], tag='anchor-neck'),
        *seeds('agvm-sgd', 128, [0.0], tag='momentum-0', diverged=True),
        *seeds('agvm-sgd', 128, [0.4, 0.41, 0.4], tag='36-epochs'),
        *seeds('sgd', 128, [0.5, 0.51, 0.5], tag='36-epochs'),
    ]


def test_the_claims_are_judged_by_the_numbers(results):
    said = {claim.text: claim for claim in claims(results, 'faster-rcnn')}
    verdicts = {text: claim.verdict for text, claim in said.items()}
    assert verdicts == {
        'variances are aligned at a small batch (sgd)': 'yes',
        'they are misaligned at a large batch (sgd)': 'yes',
        'there the backbone varies most, then the neck, then the heads (sgd)':
        'yes',
        'AGVM aligns them (sgd)': 'yes',
        'at batch 128 agvm-sgd is better than sgd': 'yes',
        'at batch 128 agvm-sgd is better than lars': 'undecided',
        'at batch 128 agvm-sgd is better than lamb': 'no',
        'from batch 8 to 128 agvm-sgd loses less than sgd': 'yes',
        'at batch 128 agvm-sgd is better than sgd (36-epochs)': 'no',
        'at batch 128 agvm-sgd is better than sgd (at 0.02)': 'undecided',
        'interval and momentum matter little (batch 128)': 'undecided',
        'the backbone is the best anchor (batch 128)': 'yes',
        'without a moving average it diverges (batch 128)': 'yes',
    }
    # 0.30 - 0.20, each of deviation 0.01 over three seeds.
    assert '+10.0 (p = 0.00)' in said[
        'at batch 128 agvm-sgd is better than sgd'].found
    # From 0.51 to 0.30, against from 0.50 to 0.20.
    assert said['from batch 8 to 128 agvm-sgd loses less than sgd'].found == (
        '21.0 against 30.0: +9.0 (p = 0.04)')


def test_variances_with_adamw_are_judged_as_those_with_sgd():
    even = measured(backbone=0.5, neck=0.4, rpn_head=0.3)
    uneven = measured(backbone=0.9, rpn_head=0.4, neck=0.1)
    results = [
        *seeds('adamw-measured', 8, [0.5], agvm=uneven),
        *seeds('adamw-measured', 128, [0.2], agvm=even),
        *seeds('agvm-adamw', 128, [0.3], agvm=uneven),
    ]
    assert [(claim.text, claim.verdict)
            for claim in claims(results, 'faster-rcnn')] == [
                ('variances are aligned at a small batch (adamw)', 'no'),
                ('they are misaligned at a large batch (adamw)', 'no'),
                ('there the backbone varies most, then the neck, then the '
                 'heads (adamw)', 'yes'),
                ('AGVM aligns them (adamw)', 'no'),
            ]


@pytest.mark.parametrize(('measured_at_128', 'verdict'), [
    (measured(backbone=0.9, fpn=0.4, decode_head=0.1), 'yes'),
    (measured(backbone=0.9, decode_head=0.4, fpn=0.1), 'no'),
    (measured(fpn=0.9, backbone=0.4, decode_head=0.1), 'no'),
])
def test_upernets_neck_is_a_part_of_its_head(measured_at_128, verdict):
    results = [
        result(
            Run('upernet', 'sgd-measured', batch, 0.1, split='test'),
            0.5,
            agvm=measured_at_128) for batch in (8, 128)
    ]
    order, = [
        claim for claim in claims(results, 'upernet')
        if 'varies most' in claim.text
    ]
    assert order.verdict == verdict


def test_a_test_at_a_rate_no_longer_chosen_does_not_count():
    chosen = [
        result(Run('faster-rcnn', 'sgd', 8, lr), final)
        for lr, final in ((0.02, 0.3), (0.04, 0.4))
    ]
    for method in ('sgd', 'sgd-measured'):  # That was run at the other's rate.
        old, new = [
            result(Run('faster-rcnn', method, 8, lr, split='test'), final)
            for lr, final in ((0.02, 0.1), (0.04, 0.5))
        ]
        cell, = cells([*chosen, old, new], 'test').values()
        assert cell == [new]
        assert not cells([*chosen, old], 'test')


def test_a_run_that_diverged_before_agvm_began_has_no_variances(results):
    cut = result(
        Run('faster-rcnn', 'agvm-sgd', 128, 0.02, 9, 'test'),
        0.0,
        diverged=True)
    ran = cells(results, 'test')[Cell('faster-rcnn', 'agvm-sgd', 128)]
    assert [*alignment('sgd', [cut], [], [*ran, cut])
            ] == [*alignment('sgd', [], [], ran)]


def test_one_seed_decides_nothing(results):
    results = [r for r in results if r['run']['seed'] == 0]
    verdicts = {
        claim.text: claim.verdict
        for claim in claims(results, 'faster-rcnn')
    }
    compared = [
        verdict for text, verdict in verdicts.items() if 'less than' in text
        or 'better' in text or 'little' in text or 'anchor' in text
    ]
    assert compared == ['undecided'] * 8


def test_variances_are_those_of_the_steps():
    one = dict(agvm=measured(neck=0.2))  # at factors of 1, then of 2
    assert step_variances(one) == {'neck': [(1, 0.2), (2, 0.8)]}
    assert variances(one) == {'neck': pytest.approx(0.2)}  # of the first half


def test_updates_to_a_target_are_interpolated():
    one = dict(metric=[[2, 0.2], [4, 0.4], [6, 0.3]], updates_per_epoch=10)
    assert updates_to(one, 0.1) == pytest.approx(10)
    assert updates_to(one, 0.3) == pytest.approx(30)
    assert updates_to(one, 0.5) == math.inf


def test_a_pipeline_without_sgd_shows_what_it_has(tmp_path):
    results = [
        *seeds('adamw', 8, [0.5, 0.51, 0.49]),
        *seeds('adamw', 128, [0.4, 0.41, 0.39]),
        *seeds('agvm-adamw', 8, [0.5], agvm=measured(backbone=0.5)),
    ]
    *figures, page, _ = write_report(results, tmp_path)
    assert [path.name for path in figures] == [
        'faster-rcnn_batch.png', 'faster-rcnn_updates.png',
        'faster-rcnn_variance.png'
    ]
    said = page.read_text()
    assert 'Updates to 25%, half of what adamw reaches' in said
    assert '| adamw | 120 | 9 |' in said


def test_report(results, tmp_path):
    (tmp_path / 'study').mkdir()
    (tmp_path / 'study/summary.md').write_text('In short: it depends.\n')
    results += [
        result(Run('faster-rcnn', 'sgd', 8, 0.02), 0.3),
        result(Run('faster-rcnn', 'sgd', 8, 0.04), 0.0, diverged=True),
        result(Run('faster-rcnn', 'agvm-sgd', 8, 0.02), 0.35),
    ]
    written = list(write_report(results, tmp_path))
    page, tables = (path.read_text() for path in written[-2:])
    assert 'In short: it depends.' in page
    assert '| sgd | 50.0 ± 1.0, at 0.02 | 20.0 ± 1.0, at 0.02 |' in page
    # It is sgd itself, and is not compared with it.
    assert '| sgd-measured | 50' not in page
    assert '| agvm-sgd | 128 | momentum-0 | 0.02 | 0.0 (1 diverged) |' in page
    # To 25%, which each run grows to in a straight line over one epoch.
    assert '| sgd | 120 | never |' in page
    assert '| sgd | 8 | 0.02: **30.0**, 0.04: 0.0 (1 diverged) |' in tables
    assert 'By how much AGVM' in tables
    assert '| agvm-sgd | 8 | 0.02: +5.0 |' in tables
    assert '| agvm-sgd | 8 | neck | 0.4 / 0.4 | 1 / 2 | 64 / 128 |' in tables
    assert [p.name for p in written] == [
        'faster-rcnn_batch.png', 'faster-rcnn_updates.png',
        'faster-rcnn_variance.png', 'faster-rcnn_rates.png', 'study-digits.md',
        'study-digits-tables.md'
    ]
    assert all(path.stat().st_size > 300 for path in written)
    *figures, _, tables = write_report(results[-3:-1], tmp_path)
    assert figures == []  # none with AGVM
    assert 'By how much AGVM' not in tables.read_text()
    with pytest.raises(ValueError, match='no result to report'):
        list(write_report([], tmp_path))


def test_the_short_table_of_claims(results):
    results += [
        result(
            Run('mask-rcnn', 'adamw-measured', batch, 0.02, split='test'),
            0.5,
            agvm=measured(backbone=0.5, neck=0.4, rpn_head=0.3))
        for batch in (8, 128)
    ]
    rows = {topic: rest for topic, *rest in short_claims(results)}
    assert rows['variances aligned at a small batch'] == ['sgd 1.7', 'yes']
    assert rows['AGVM better at batch 128'] == [
        'sgd +10.0 (p = 0.00), lars -0.0 (p = 1.00), lamb -11.0 (p = 0.03)',
        'yes: sgd; undecided: lars; no: lamb'
    ]
    assert rows['the backbone is the best anchor (batch 128)'] == [
        'AGVM 30.3 ± 0.6; neck 10.3 ± 0.6', 'yes'
    ]
    assert rows['mask-rcnn (adamw)'] == [
        '**yes**: variances aligned at a small batch [1.7], the backbone '
        'varies most, then the neck [backbone > neck]; **no**: misaligned at '
        'a large batch [1.7]; **not run yet**: aligned by AGVM []',
        '2 yes, 1 no, 1 not run yet'
    ]


def test_the_first_page(results, tmp_path):
    page, = write_overview(results, tmp_path)
    assert '## The answer' not in page.read_text()
    (tmp_path / 'study').mkdir()
    (tmp_path / 'study/short-summary.md').write_text('## The answer\n\nNo.\n')
    for name, title in (('bccd-tables', 'Cells: tables'), ('bccd', 'Cells')):
        (tmp_path / f'study-{name}.md').write_text(f'# {title}\n')
    list(write_overview(results, tmp_path))
    said = page.read_text()
    assert '\n## The answer\n\nNo.\n' in said
    assert '| variances aligned at a small batch | sgd 1.7 | yes |' in said
    assert 'On Digits: 39 trainings' in said
    assert said.endswith('\n- [Cells](study-bccd.md)\n'
                         '- [Cells: tables](study-bccd-tables.md)\n')


def test_the_short_answers_numbers_are_those_of_the_pages():
    """Of the hand-written part, what is said of Digits and photographs."""
    answer, *pages = (
        set(
            re.findall(r'[-+]?\d+\.\d(?: ± \d+\.\d)?',
                       (ROOT / 'docs' / name).read_text()))
        for name in ('study/short-summary.md', 'study-digits.md',
                     'study-bccd.md'))
    assert len(answer) > 15
    assert answer - set.union(*pages) == set()
