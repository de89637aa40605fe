"""Paired comparisons: two methods at the same seeds."""
from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import Mapping, Sequence

from scipy import stats

LEVEL = 0.05
POWER = 0.8


@dataclass(frozen=True)
class Paired:
    """Differences between two methods over the seeds that both have.

    Attributes:
        count (int): Of pairs.
        mean (float): Of the differences.
        p_value (float): Of the paired t-test, two-sided; NaN of one pair.
        detectable (float): The difference that could have been seen; NaN of
            one pair. See :func:`detectable`.
    """
    count: int
    mean: float
    p_value: float
    detectable: float


def paired(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Paired:
    """Compare two methods.

    Args:
        ours (Mapping[int, float]): Of one method, by seed.
        theirs (Mapping[int, float]): Of the other. One seed at least is of
            both.
    """
    seeds = sorted({*ours} & {*theirs})
    differences = [ours[seed] - theirs[seed] for seed in seeds]
    mean, count = statistics.fmean(differences), len(seeds)
    if count < 2:
        return Paired(count, mean, math.nan, math.nan)
    deviation = statistics.stdev(differences)
    if deviation == 0:  # scipy would divide by it.
        return Paired(count, mean, 1.0 if mean == 0 else 0.0, 0.0)
    p_value = stats.ttest_rel([ours[seed] for seed in seeds],
                              [theirs[seed] for seed in seeds]).pvalue
    return Paired(count, mean, float(p_value), detectable(deviation, count))


def detectable(deviation: float, count: int) -> float:
    """The smallest difference that so many pairs would most likely show.

    The minimum detectable effect of Bloom (1995,
    https://doi.org/10.1177/0193841X9501900504): at a power of 80%, in a
    two-sided test at 5%, by the t distribution.

    Args:
        deviation (float): Standard deviation of the differences.
        count (int): Of pairs, 2 or more.
    """
    quantiles = stats.t.ppf([1 - LEVEL / 2, POWER], count - 1)
    return float(sum(quantiles)) * deviation / math.sqrt(count)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number, by Holm (1979).

    Args:
        p_values (Sequence[float]): Of all comparisons; NaN of one that is not
            tested, which does not count.

    Returns:
        list[float]: In the same order.
    """
    order = sorted((p, i) for i, p in enumerate(p_values) if p == p)
    corrected = list(p_values)
    highest = 0.0
    for rank, (p_value, index) in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p_value))
        corrected[index] = highest
    return corrected
