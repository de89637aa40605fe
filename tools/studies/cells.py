"""The results of a study, sorted into cells: what is said of each method."""
from __future__ import annotations

import math
import statistics
from typing import NamedTuple, Sequence

# The tag of runs with which controls are compared.
BASELINE = 'baseline'
# The end of the name of a method that AGVM only measures.
MEASURED = '-measured'


class Cell(NamedTuple):
    """Runs that differ in their seed or learning rate only.

    Attributes:
        pipeline (str): What was trained.
        method (str): How.
        batch (int): Samples of an update.
        tag (str): What else was different; empty for nothing.
    """
    pipeline: str
    method: str
    batch: int
    tag: str = ''


def cells(results: Sequence[dict], split: str) -> dict[Cell, list[dict]]:
    """Sort results by method and batch.

    Args:
        results (Sequence[dict]): Of runs.
        split (str): 'val', on which learning rates were chosen, or 'test'.

    Returns:
        dict[Cell, list[dict]]: In the order of the names. Of the test split
        without a tag, those at the learning rate that validation chooses for
        the method, or for the one that AGVM measures there, as it may have
        chosen another one while it had seen less.
    """
    found: dict[Cell, list[dict]] = {}
    for result in results:
        run = result['run']
        if run['split'] == split:
            cell = Cell(run['pipeline'], run['method'], run['batch'],
                        run['tag'])
            found.setdefault(cell, []).append(result)
    if split == 'test':
        for cell, tried in plain_cells(results, 'val').items():
            chosen = best_rate(tried)
            for method in (cell.method, cell.method + MEASURED):
                own = cell._replace(method=method)
                found[own] = [
                    r for r in found.get(own, []) if r['run']['lr'] == chosen
                ]
    return {cell: found[cell] for cell in sorted(found) if found[cell]}


def plain_cells(results: Sequence[dict], split: str) -> dict[Cell, list[dict]]:
    """The cells without anything special: no controls."""
    return {
        cell: of_cell
        for cell, of_cell in cells(results, split).items() if not cell.tag
    }


def compared_cells(results: Sequence[dict]) -> dict[Cell, list[dict]]:
    """The plain cells of the test split whose methods differ.

    On one machine, a method that only measures is, to the bit, the one that
    it measures.
    """
    return {
        cell: of_cell
        for cell, of_cell in plain_cells(results, 'test').items()
        if not cell.method.endswith(MEASURED)
    }


def best(of_cell: Sequence[dict]) -> dict:
    """The result with the best last metric."""
    return max(of_cell, key=lambda result: result['final'])


def by_rate(of_cell: Sequence[dict]) -> dict[float, list[dict]]:
    """Results by learning rate, the lowest first."""
    found: dict[float, list[dict]] = {}
    for result in of_cell:
        found.setdefault(result['run']['lr'], []).append(result)
    return dict(sorted(found.items()))


def best_rate(of_cell: Sequence[dict]) -> float:
    """The learning rate with the best last metric, the mean over seeds.

    Of those rates that most seeds tried: the luck of one seed is not to win
    over the mean of several.
    """
    tried = by_rate(of_cell)
    most = max(map(len, tried.values()))
    return max((lr for lr in tried if len(tried[lr]) == most),
               key=lambda lr: mean(tried[lr]))


def mean(of_cell: Sequence[dict]) -> float:
    """Mean of the last metric over seeds."""
    return statistics.fmean(result['final'] for result in of_cell)


def deviation(of_cell: Sequence[dict]) -> float:
    """Standard deviation of the last metric over seeds; NaN of one."""
    if len(of_cell) < 2:
        return math.nan
    return statistics.stdev(result['final'] for result in of_cell)


def measured(results: Sequence[dict]) -> dict[Cell, dict]:
    """A run of each cell in which AGVM measured: the best one.

    Of the test split, or of the validation split while there is no other.
    """
    found = {**plain_cells(results, 'val'), **plain_cells(results, 'test')}
    return {
        cell: best(of_cell)
        for cell, of_cell in sorted(found.items())
        if best(of_cell)['agvm'].get('variance')
    }


def step_variances(result: dict) -> dict[str, list[tuple[int, float]]]:
    """Each module's variance as it is stepped, by iteration.

    The paper's Phi carries the squared learning rate. All modules have the
    same but for AGVM's factors, so what is compared is mu^2 (1 - cos).
    """
    scales = {
        module: dict(points)
        for module, points in result['agvm'].get('lr_scale', {}).items()
    }
    return {
        module: [(step, scales[module][step]**2 * value)
                 for step, value in points]
        for module, points in result['agvm'].get('variance', {}).items()
    }


def variances(result: dict) -> dict[str, float]:
    """Each module's step variance, its geometric mean over half a run.

    The first half: after a learning rate has dropped, all are near 1.
    """
    return {
        module:
        statistics.geometric_mean(
            [value for _, value in points[:-(-len(points) // 2)] if value > 0])
        for module, points in step_variances(result).items()
    }


def updates_to(result: dict, target: float) -> float:
    """Updates after which a run's metric reached a target.

    Between two evaluations the metric is taken to grow linearly.

    Args:
        result (dict): Of a run.
        target (float): Of the metric, > 0.

    Returns:
        float: Infinity if it never did.
    """
    # Evaluations of a run with a horizon are stored by update.
    each = result.get('updates_per_epoch', 1)
    before = (0, 0.0)
    for epoch, value in result['metric']:
        if value >= target:
            share = (target - before[1]) / (value - before[1])
            return each * (before[0] + share * (epoch - before[0]))
        before = (epoch, value)
    return math.inf
