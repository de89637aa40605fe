"""A run's numbers over its updates, as they are drawn and judged."""
from __future__ import annotations

import math
import statistics
from typing import Sequence

from .logs import modules_of

SMOOTHING = 0.8  # momentum of the strong trace
FEWEST = 3  # rows of a half in which a module must show a noise scale


def points_of(rows: list[dict], quantity: str,
              module: str) -> list[tuple[int, float]]:
    """The updates of a run and a module's values there.

    Args:
        rows (list[dict]): From :func:`~reports.logs.read_log`.
        quantity (str): 'variance', 'lr_scale', 'noise_scale',
            'step_variance' or 'lr'. A module's steps are its learning rate
            times its gradient: their variance, over that of the common rate,
            is what the paper writes eta^2 (1 - cos). Its rate is the
            schedule's times its factor.
        module (str): Its name.
    """
    if quantity == 'step_variance':
        scales = dict(points_of(rows, 'lr_scale', module))
        return [(update, variance * scales[update]**2)
                for update, variance in points_of(rows, 'variance', module)
                if update in scales]
    if quantity == 'lr':
        rates = dict(values_of(rows, 'lr'))
        return [(update, scale * rates[update])
                for update, scale in points_of(rows, 'lr_scale', module)
                if update in rates]
    return values_of(rows, f'agvm/{quantity}/{module}')


def values_of(rows: list[dict], key: str) -> list[tuple[int, float]]:
    """The updates of a run and the values of one scalar there.

    Args:
        rows (list[dict]): From :func:`~reports.logs.read_rows`.
        key (str): Of the JSON log. Rows without it are left out.
    """
    return [(row['update'], row[key]) for row in rows if key in row]


def smoothed(values: Sequence[float], logarithmic: bool) -> list[float]:
    """The moving average of a trace, from its first value on.

    Args:
        values (Sequence[float]): The trace.
        logarithmic (bool): Whether it is drawn on such an axis, where the
            average of what one sees is the geometric one.
    """
    trace: list[float] = []
    for value in values:
        value = math.log(value) if logarithmic else value
        last = trace[-1] if trace else value
        trace.append(SMOOTHING * last + (1 - SMOOTHING) * value)
    return [math.exp(value) for value in trace] if logarithmic else trace


def median_of(rows: list[dict], quantity: str, module: str) -> float | None:
    """The median of a module's values; None if it has none.

    Args:
        rows (list[dict]): Of a run, or of a part of it.
        quantity (str): See :func:`points_of`.
        module (str): Its name.
    """
    values = [value for _, value in points_of(rows, quantity, module)]
    return statistics.median(values) if values else None


def second_half(rows: list[dict]) -> list[dict]:
    """The rows after the middle of a run's updates.

    Args:
        rows (list[dict]): Of a run; some may have been left out.
    """
    return [row for row in rows if row['update'] > rows[-1]['update'] / 2]


def noise_scales(rows: list[dict],
                 fewest: int = FEWEST) -> dict[str, float | None]:
    """Each module's gradient noise scale in the second half of a run.

    Args:
        rows (list[dict]): From :func:`~reports.logs.read_log`.
        fewest (int): Rows there that must have one, or it tells nothing.
            Defaults to 3.

    Returns:
        dict[str, float or None]: Their median, in samples; None of a module
        that showed no signal above the noise.
    """
    half = second_half(rows)
    return {
        module: median_of(half, 'noise_scale', module)
        if len(points_of(half, 'noise_scale', module)) >= fewest else None
        for module in modules_of(rows)
    }


def spread(rows: list[dict], quantity: str = 'step_variance') -> float:
    """How far the modules' variances are apart.

    Args:
        rows (list[dict]): From :func:`~reports.logs.read_log`.
        quantity (str): Of :func:`points_of`. Defaults to that of the steps,
            which AGVM aligns.

    Returns:
        float: The largest over the smallest of their medians over the run; 1
        where they are aligned.
    """
    medians = [
        median for median in (median_of(rows, quantity, module)
                              for module in modules_of(rows))
        if median is not None
    ]
    return max(medians) / max(min(medians), 1e-6)


def thinned(points: Sequence[tuple[int, float]],
            most: int) -> list[tuple[int, float]]:
    """A trace with no more points than are drawn, evenly left out.

    Args:
        points (Sequence[tuple[int, float]]): The trace.
        most (int): Points to keep, its first and its last among them.
    """
    if len(points) <= most:
        return list(points)
    step = (len(points) - 1) / (most - 1)
    return [points[round(step * index)] for index in range(most)]
