"""The critical batch, from losses."""
import math

import pytest
from studies.branch_report import (
    draw_points,
    points_of,
    summary_of,
    tables_of,
)
from studies.critical import CriticalBatch, critical_batch


def test_the_largest_batch_within_the_tolerance():
    losses = {64: 1.1, 16: 1.0, 32: 1.01, 128: 1.5}
    found = critical_batch(losses, 0.02)
    assert (found.within, found.beyond) == (32, 64)
    # 1.02 is a ninth of the way from 1.01 to 1.1, in the logarithm.
    assert found.estimate == pytest.approx(32 * 2**(1 / 9))
    assert str(found) == '35 (32 to 64)'


def test_what_comes_after_the_first_loss_does_not_count():
    # By chance, or because the rate of 64 is a better one.
    assert critical_batch({16: 1.0, 32: 1.1, 64: 1.0}, 0.02).within == 16


def test_where_none_costs_loss_the_largest_is_a_bound():
    found = critical_batch({16: 1.0, 32: 0.9, 64: 1.02}, 0.02)
    assert found == CriticalBatch(64, None, 64.0)
    assert str(found) == '64 or more'


@pytest.mark.parametrize('loss', [math.inf, math.nan])
def test_a_batch_that_diverges_is_beyond(loss):
    found = critical_batch({16: 1.0, 32: 1.0, 64: loss}, 0.02)
    assert found == CriticalBatch(32, 64, 32.0)


@pytest.mark.parametrize(('losses', 'tolerance', 'message'), [
    ({16: 1.0}, 0.02, r'among two or more'),
    ({16: 1.0, 32: 1.0}, 0, r'tolerance=0 must be > 0'),
    ({16: math.nan, 32: 1.0}, 0.02, r'smallest batch, 16, is nan'),
    ({16: 0.0, 32: 1.0}, 0.02, r'smallest batch, 16, is 0\.0'),
])  # yapf: disable
def test_what_cannot_be_compared_is_refused(losses, tolerance, message):
    with pytest.raises(ValueError, match=message):
        critical_batch(losses, tolerance)


def result(batch, loss, seed=0, point='faster-rcnn epoch_4', **scales):
    config, checkpoint = point.split(' ', 1)
    return dict(
        point=point,
        branch=dict(config=config, batch=batch, seed=seed, rule=None),
        seconds=60,
        iteration=int(checkpoint.rpartition('_')[2] or 0),
        loss=loss,
        loss_before=2.0,
        noise_scale=scales)


def test_a_point_is_of_the_mean_over_seeds_and_of_each():
    point, = points_of([
        result(16, 1.0, backbone=40.0),
        result(32, 1.03, backbone=99.0),
        result(64, None),
        result(16, 1.0, 1, backbone=50.0, neck=20.0),
        result(32, 1.0, 1),
        result(64, 1.5, 1),
        result(16, 1.0, 2),  # the others of this seed are not done
    ], 0.02)
    assert point.losses == pytest.approx({16: 1.0, 32: 1.015, 64: math.inf})
    assert point.critical.within == 32
    assert [(c.within, c.beyond) for c in point.by_seed] == [(16, 32),
                                                             (32, 64)]
    assert point.noise_scale == dict(backbone=45.0, neck=20.0)
    assert point.warnings(0.02) == []
    assert summary_of(point).startswith('critical batch: 32 (32 to 64); by')
    losses, compared = tables_of(point, 0.02)
    assert [*losses.columns[1].cells] == [
        '2.0000', '1.0000 ± 0.0000', '1.0150 ± 0.0212', 'diverged'
    ]
    assert [*losses.columns[2].cells] == ['', 'yes', 'yes', 'no']
    assert [*compared.columns[2].cells] == ['0.71', '1.6']


def test_branches_that_learn_nothing_are_warned_of():
    point, = points_of([result(16, 1.99), result(32, 1.995)], 0.02)
    warning, = point.warnings(0.02)
    assert 'take more --images' in warning


def test_a_seed_whose_smallest_batch_diverged_is_not_compared():
    point, = points_of([
        result(16, None, backbone=1.0),
        result(32, 1.0),
        result(16, 1.0, 1, backbone=40.0),
        result(32, 1.1, 1),
        result(16, None, point='faster-rcnn epoch_12'),
        result(32, 1.0, point='faster-rcnn epoch_12'),
    ], 0.02)
    assert point.losses == {16: 1.0, 32: 1.1}
    assert point.noise_scale == dict(backbone=40.0)


def test_points_are_drawn(tmp_path):
    points = points_of([
        result(16, 1.0, backbone=40.0),
        result(32, 1.1),
        result(16, 1.0, point='faster-rcnn epoch_12', neck=20.0),
        result(32, 1.0, point='faster-rcnn epoch_12'),
        result(16, 1.0, point='of-one-batch _'),
    ], 0.02)
    assert [point.name.split('_')[1] for point in points] == ['4', '12']
    draw_points(points, tmp_path / 'branch.png')
    assert (tmp_path / 'branch.png').stat().st_size > 10_000
