"""Paired comparisons, beside hand-computed values."""
import math

import pytest
from studies.paired import detectable, holm, paired


def test_a_paired_t_test():
    # Differences of 1, 2 and 3: a mean of 2, a deviation of 1, and
    # t = 2 sqrt(3) with two degrees of freedom, for which the distribution is
    # 1 / 2 + t / (2 sqrt(2 + t^2)).
    found = paired({1: 2.0, 2: 4.0, 3: 6.0}, {3: 3.0, 2: 2.0, 1: 1.0})
    t = 2 * math.sqrt(3)
    assert (found.count, found.mean) == (3, 2.0)
    assert found.p_value == pytest.approx(1 - t / math.sqrt(2 + t**2))
    # By the quantiles of the tables, 4.303 and 1.061.
    assert found.detectable == pytest.approx(
        (4.303 + 1.061) / math.sqrt(3), rel=1e-3)


def test_what_five_pairs_could_have_seen():
    # 2.776 and 0.941 with four degrees of freedom.
    assert detectable(0.02, 5) == pytest.approx(
        0.02 * (2.776 + 0.941) / math.sqrt(5), rel=1e-3)


def test_seeds_that_one_method_lacks_do_not_count():
    found = paired({1: 2.0, 2: 4.0}, {1: 1.0, 3: 9.0})
    assert (found.count, found.mean) == (1, 1.0)
    assert math.isnan(found.p_value)
    assert math.isnan(found.detectable)


def test_equal_differences():
    assert paired({1: 2.0, 2: 3.0}, {1: 2.0, 2: 3.0}).p_value == 1
    assert paired({1: 2.0, 2: 3.0}, {1: 1.0, 2: 2.0}).p_value == 0


def test_holm():
    # The smallest times 4, the next times 3 ..., none below the one before.
    assert holm([0.01, 0.04, 0.03,
                 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    # What is not tested is not counted.
    tested, untested = holm([0.02, math.nan])
    assert tested == 0.02
    assert math.isnan(untested)
