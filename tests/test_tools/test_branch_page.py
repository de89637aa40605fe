"""The page on the branches, from results that are made up."""
import json

import pytest
from reports.worth import HIGHEST, LOWEST, measured_range
from studies.branch_page import (
    better_rule,
    own_rule,
    worth_of,
    write_branch_page,
)
from studies.branch_report import points_of
from studies.pages import BRANCHES
from studies.processes import read_results

from .test_critical import result

# Critical at 16, at 64 or more, and one that learned nothing.
RESULTS = [
    result(16, 1.0, backbone=32.0, neck=8.0),
    result(64, 1.02, backbone=90.0, neck=90.0),
    result(256, 1.5),
    result(16, 1.0, point='faster-rcnn epoch_8', backbone=640.0, neck=16.0),
    result(64, 1.0, point='faster-rcnn epoch_8'),
    result(16, 1.99, point='faster-rcnn epoch_12', backbone=1.0, neck=1.0),
    result(64, 5.0, point='faster-rcnn epoch_12'),
]


def test_what_a_noise_scale_is_worth():
    worth = worth_of(points_of(RESULTS, 0.02), 0.02, 'the smallest')
    assert worth.ratios == pytest.approx([8.0])
    assert (worth.bounds, worth.silent) == (1, 1)
    worth = worth_of(points_of(RESULTS, 0.02), 0.02, "the backbone's")
    assert worth.ratios == pytest.approx([2.0])
    worth = worth._replace(ratios=[0.5, 2.0, 8.0])
    assert worth.typical == pytest.approx(2.0)


def test_the_better_of_two_rules():
    def by_root(batch, loss, seed=0):
        made = result(batch, loss, seed)
        made['branch'].update(rule='square-root')
        return dict(made, point='faster-rcnn epoch_4 square-root')

    found = better_rule([
        *RESULTS, result(256, 1.4, 1), by_root(16, 1.01), by_root(64, None),
        by_root(256, 1.1)])
    assert {one['point'] for one in found} == {
        'faster-rcnn epoch_4 better rule'
    }
    assert [one['loss'] for one in found] == [1.0, 1.02, 1.1]


def test_the_page(tmp_path):
    for index, made in enumerate(RESULTS):
        path = tmp_path / f'results/toy/{index}.json'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(made))
    out = tmp_path / 'docs'
    (out / 'study').mkdir(parents=True)
    (out / 'study/branches-summary.md').write_text('In short: 42.\n')
    written = list(write_branch_page(tmp_path / 'results', out))
    assert written == [
        out / 'study/branches-toy.png', out / 'study-branches.md'
    ]
    assert written[0].stat().st_size > 10_000
    page = written[1].read_text()
    for text in (
            'In short: 42.', 'from the 7 results',
            '| toy | 2% | 1, 1 where no batch cost as much, 1 that learned '
            'too little | 8 (8 to 8) | 2 (2 to 2) | 2 (2 to 2) |',
            '| faster-rcnn epoch_4 | 2.0000 | 1.0000 | 1.0200 | 1.5000 |',
            '| faster-rcnn epoch_8 | 64 or more | 64 or more | 640 | 16 |',
            'none: it learned too little'):
        assert text in page


def test_what_plan_and_report_say_is_what_the_stored_branches_measured():
    ratios = [
        ratio for folder in BRANCHES.iterdir() for ratio in worth_of(
            points_of(own_rule(read_results(folder)), 0.02), 0.02,
            'the smallest').ratios
    ]
    assert len(ratios) >= 10
    assert float(f'{min(ratios):.2g}') == LOWEST
    assert float(f'{max(ratios):.2g}') == HIGHEST
    assert measured_range(100.0).endswith(
        f'here anything from {100 * LOWEST:,.0f} to {100 * HIGHEST:,.0f}; '
        'study.py branch measures it.')
