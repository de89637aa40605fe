"""The page on the branches: critical batches beside the noise scales."""
from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Callable, Iterator, Mapping, NamedTuple, Sequence

from .branch_report import Point, draw_points, points_of
from .processes import read_results
from .report import hours, write_page
from .tables import table

TOLERANCES = (0.01, 0.02, 0.05)
# Which of a point's noise scales is compared.
CHOICES: dict[str, Callable[[Mapping[str, float]], float | None]] = {
    'the smallest': lambda scales: min(scales.values()),
    # None if it showed no signal.
    "the backbone's": lambda scales: scales.get('backbone'),
    'the largest': lambda scales: max(scales.values()),
}
HEAD = """\
# Is the noise scale right?

{summary}
## How it was made

Written by `python tools/study.py report` from the {count} results in
[docs/study/results-branches](study/results-branches), one file a branch,
{hours:.1f} hours of training in all, each on one CPU core. `bash
docs/study/branches.sh` and `bash docs/study/branches-bccd.sh` make them anew;
[choosing.md](choosing.md#is-the-noise-scale-right) says what a branch is and
how to branch a training of your own.
"""


class Worth(NamedTuple):
    """What a noise scale is worth: the critical batch over it.

    Attributes:
        ratios (list[float]): Of each point that tells one.
        bounds (int): Points at which no batch cost loss: the ratio is at
            least so large, and is not among them.
        silent (int): Points that learned too little to tell anything.
    """
    ratios: list[float]
    bounds: int
    silent: int

    @property
    def typical(self) -> float:
        """The geometric mean."""
        return statistics.geometric_mean(self.ratios)


def own_rule(results: Sequence[dict]) -> list[dict]:
    """The branches at the rate of their optimizer's own rule.

    Args:
        results (Sequence[dict]): Of branches.
    """
    return [result for result in results if result['branch']['rule'] is None]


def better_rule(results: Sequence[dict]) -> list[dict]:
    """At points of several rules, the branch of the better one by batch.

    A rule may fail at a batch that another rule can use.

    Args:
        results (Sequence[dict]): Of branches.
    """
    same: dict[tuple, list[dict]] = {}
    for result in results:
        branch = result['branch']
        same.setdefault((branch['config'], result['iteration'],
                         branch['batch'], branch['seed']), []).append(result)
    return [
        dict(
            min(tried, key=_comparable),
            point=f'{_own_point(tried[0])} better rule')
        for tried in same.values() if len(tried) > 1
    ]


def _comparable(result: dict) -> float:
    return math.inf if result['loss'] is None else result['loss']


def _own_point(result: dict) -> str:
    """The point of a branch, without its rule."""
    rule = result['branch']['rule']
    point = result['point']
    return point if rule is None else point[:-len(f' {rule}')]


def worth_of(points: Sequence[Point], tolerance: float,
             choice: str) -> Worth:
    """Compare one noise scale of each point with its critical batch.

    Args:
        points (Sequence[Point]): At this tolerance.
        tolerance (float): Of the loss.
        choice (str): A name in ``CHOICES``.
    """
    told = [point for point in points if not point.warnings(tolerance)]
    known = [point for point in told if point.critical.beyond is not None]
    chosen = [(point, CHOICES[choice](point.noise_scale)) for point in known]
    return Worth([
        point.critical.estimate / scale for point, scale in chosen
        if scale is not None
    ], len(told) - len(known), len(points) - len(told))


def write_branch_page(results: Path, folder: Path) -> Iterator[Path]:
    """Write the page and its figures.

    Args:
        results (Path): A folder of result files for each data set.
        folder (Path): For study-branches.md; figures go to study/ in it,
            where branches-summary.md tells what the page begins with.

    Yields:
        Path: Each file, once it is written.
    """
    stored = {
        path.name: read_results(path)
        for path in sorted(results.iterdir()) if path.is_dir()
    }
    every = [result for of_data in stored.values() for result in of_data]
    summary = folder / 'study/branches-summary.md'
    head = HEAD.format(
        summary=summary.read_text() if summary.is_file() else '',
        count=len(every),
        hours=hours(every))
    (folder / 'study').mkdir(parents=True, exist_ok=True)
    yield from write_page(
        folder / 'study-branches.md',
        [head, *_worth(stored), *_of_data(stored, folder / 'study')])


def _worth(stored: Mapping[str, Sequence[dict]]) -> Iterator[str]:
    yield '\n## What a noise scale is worth\n'
    yield (
        'The critical batch over a noise scale, by the loss that a batch may\n'
        'cost: the geometric mean over the points, from the lowest to the '
        "highest.\nBranches by another rule than the optimizer's own are not "
        'counted.\n')
    rows = []
    for data, results in stored.items():
        for tolerance in TOLERANCES:
            points = points_of(own_rule(results), tolerance)
            worths = [worth_of(points, tolerance, name) for name in CHOICES]
            rows.append([
                data, f'{tolerance:.0%}',
                _counted(worths[0]), *map(_shown, worths)
            ])
    yield table(['data', 'loss', 'points', *CHOICES], rows)


def _counted(worth: Worth) -> str:
    parts = [f'{len(worth.ratios)}']
    if worth.bounds:
        parts.append(f'{worth.bounds} where no batch cost as much')
    if worth.silent:
        parts.append(f'{worth.silent} that learned too little')
    return ', '.join(parts)


def _shown(worth: Worth) -> str:
    if not worth.ratios:
        return ''
    low, high = min(worth.ratios), max(worth.ratios)
    return f'{worth.typical:.2g} ({low:.2g} to {high:.2g})'


def _of_data(stored: Mapping[str, Sequence[dict]],
             folder: Path) -> Iterator[str | Path]:
    tolerance = TOLERANCES[1]
    for data, results in stored.items():
        points = points_of([*results, *better_rule(results)], tolerance)
        yield f'\n## {data}\n'
        draw_points(
            points_of(own_rule(results), tolerance),
            folder / f'branches-{data}.png')
        yield folder / f'branches-{data}.png'
        yield ('\nThe loss by batch: the mean over orders of the images, and '
               'their standard deviation.\n')
        batches = sorted({b for point in points for b in point.losses})
        yield table(['training', 'before', *map(str, batches)],
                    ([
                        point.name, f'{point.before:.4f}',
                        *(_loss(point, batch) for batch in batches)
                    ] for point in points))
        modules = list(dict.fromkeys(m for p in points for m in p.noise_scale))
        yield ('\nThe critical batch, at which the loss is higher by '
               f'{tolerance:.0%}, that of each order, and the noise scales.\n')
        yield table(
            ['training', 'critical batch', 'of each order', *modules],
            ([
                point.name,
                _critical(point, tolerance), '; '.join(map(str,
                                                           point.by_seed)),
                *(_scale(point.noise_scale.get(name)) for name in modules)
            ] for point in points))


def _critical(point: Point, tolerance: float) -> str:
    if point.warnings(tolerance):
        return f'none: it learned too little ({point.critical})'
    return str(point.critical)


def _loss(point: Point, batch: int) -> str:
    loss = point.losses.get(batch)
    if loss is None:
        return ''
    if not math.isfinite(loss):
        return 'diverged'
    if len(point.by_seed) == 1:
        return f'{loss:.4f}'
    return f'{loss:.4f} ± {point.deviations[batch]:.4f}'


def _scale(value: float | None) -> str:
    return 'no signal' if value is None else f'{value:,.0f}'
