"""The critical batches of branched trainings beside the noise scales."""
from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
from rich.table import Table

from .critical import CriticalBatch, critical_batch


@dataclass(frozen=True)
class Point:
    """A point of a training, from which branches went on.

    Attributes:
        name (str): Of the config and the checkpoint.
        losses (dict[int, float]): The mean over seeds by batch; infinity
            where one diverged.
        deviations (dict[int, float]): Standard deviations over seeds.
        before (float): The loss that all branches began with.
        critical (CriticalBatch): Of the mean losses.
        by_seed (list[CriticalBatch]): Of each seed's.
        noise_scale (dict[str, float]): By module, in samples: the median over
            seeds of the smallest batch's branches, which has most updates and
            stays nearest to the training that the checkpoint is of.
    """
    name: str
    losses: dict[int, float]
    deviations: dict[int, float]
    before: float
    critical: CriticalBatch
    by_seed: list[CriticalBatch]
    noise_scale: dict[str, float]

    def warnings(self, tolerance: float) -> list[str]:
        """What makes the critical batch worth little.

        Args:
            tolerance (float): Of the loss.
        """
        smallest = self.losses[min(self.losses)]
        if smallest * (1 + tolerance) < self.before:
            return []
        return [
            f'{self.name}: the smallest batch brought the loss from '
            f'{self.before:.4g} to {smallest:.4g}, no lower by more than the '
            'tolerance, so that its critical batch says nothing: take more '
            '--images, or another checkpoint'
        ]


def points_of(results: Sequence[dict], tolerance: float) -> list[Point]:
    """Every point of which two batches or more can be compared.

    Args:
        results (Sequence[dict]): Of branches.
        tolerance (float): Share of the smallest batch's loss.
    """
    by_name: dict[str, list[dict]] = {}
    in_order = sorted(
        results, key=lambda r: (r['branch']['config'], r['iteration'] or 0))
    for result in in_order:
        by_name.setdefault(result['point'], []).append(result)
    points = []
    for name, of_point in by_name.items():
        seeds: dict[int, dict[int, float]] = {}
        for result in of_point:
            branch, loss = result['branch'], result['loss']
            seeds.setdefault(branch['seed'], {})[branch['batch']] = (
                math.inf if loss is None else loss)
        batches = sorted({b for losses in seeds.values() for b in losses})
        # A seed of which some are not done is not compared, nor one whose
        # smallest batch diverged.
        seeds = {s: seeds[s] for s in sorted(seeds)
                 if len(seeds[s]) == len(batches)
                 and math.isfinite(seeds[s][batches[0]])}  # yapf: disable
        if len(batches) < 2 or not seeds:
            continue
        losses = {
            batch: statistics.fmean(own[batch] for own in seeds.values())
            for batch in batches
        }
        smallest = [
            r for r in of_point if r['branch']['batch'] == batches[0]
            and r['branch']['seed'] in seeds
        ]
        scales: dict[str, list[float]] = {}
        for result in smallest:
            for module, value in result['noise_scale'].items():
                scales.setdefault(module, []).append(value)
        points.append(
            Point(
                name, losses, {
                    batch: _deviation([own[batch] for own in seeds.values()])
                    for batch in batches
                }, statistics.fmean(r['loss_before'] for r in smallest),
                critical_batch(losses, tolerance),
                [critical_batch(own, tolerance) for own in seeds.values()],
                {m: statistics.median(v) for m, v in scales.items()}))
    return points


def tables_of(point: Point, tolerance: float) -> list[Table]:
    """A point's losses by batch, and its critical batch by noise scale.

    Args:
        point (Point): One.
        tolerance (float): Of the loss.
    """
    limit = point.losses[min(point.losses)] * (1 + tolerance)
    losses = Table()
    for column in ('batch', 'loss', f'within {tolerance:.1%}'):
        losses.add_column(column, justify='right')
    losses.add_row('before', f'{point.before:.4f}', '')
    for batch, loss in point.losses.items():
        spread = point.deviations[batch]
        shown = f'{loss:.4f}' if math.isfinite(loss) else 'diverged'
        if len(point.by_seed) > 1 and math.isfinite(loss):
            shown += f' ± {spread:.4f}'
        losses.add_row(f'{batch:,}', shown, 'yes' if loss <= limit else 'no')
    compared = Table()
    compared.add_column('module', overflow='fold')
    for column in ('noise scale', 'critical batch / noise scale'):
        compared.add_column(column, justify='right')
    bound = '>= ' if point.critical.beyond is None else ''
    for module, scale in point.noise_scale.items():
        compared.add_row(module, f'{scale:,.0f}',
                         f'{bound}{point.critical.estimate / scale:.2g}')
    return [losses, compared]


def summary_of(point: Point) -> str:
    """A point's critical batch, in a line.

    Args:
        point (Point): One.
    """
    text = f'critical batch: {point.critical}'
    if len(point.by_seed) > 1:
        text += '; by seed ' + ', '.join(map(str, point.by_seed))
    return text


def draw_points(points: Sequence[Point], path: Path) -> None:
    """Critical batches with their intervals, and noise scales by module.

    Args:
        points (Sequence[Point]): One or more.
        path (Path): PNG to write.
    """
    figure, axis = plt.subplots(
        figsize=(max(6, 1.6 * len(points) + 2), 4.5), layout='constrained')
    for place, point in enumerate(points):
        found = [point.critical, *point.by_seed]
        low = min(one.within for one in found)
        high = max(one.beyond or one.within for one in found)
        estimate = point.critical.estimate
        axis.errorbar(
            place,
            estimate, [[estimate - low], [high - estimate]],
            color='black',
            marker='o',
            capsize=6,
            lolims=point.critical.beyond is None,
            label='critical batch, measured' if place == 0 else None)
    modules = list(dict.fromkeys(m for p in points for m in p.noise_scale))
    for index, module in enumerate(modules):
        places = [i for i, p in enumerate(points) if module in p.noise_scale]
        shift = 0.4 * (index + 1) / (len(modules) + 1)
        axis.plot([place + shift for place in places],
                  [points[place].noise_scale[module] for place in places],
                  linestyle='',
                  marker='_',
                  markersize=12,
                  markeredgewidth=2,
                  color=f'C{index}',
                  label=f'noise scale, {module}')
    axis.set_xticks(
        range(len(points)), [p.name.replace(' ', '\n') for p in points],
        fontsize='small')
    axis.set_xlim(-0.6, len(points) - 0.4)
    axis.set_yscale('log', base=2)
    axis.yaxis.set_major_formatter('{x:.0f}')
    axis.set_ylabel('samples of one update')
    axis.grid(alpha=0.3)
    figure.legend(loc='outside lower center', ncols=2, fontsize='small')
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _deviation(values: Sequence[float]) -> float:
    finite = len(values) > 1 and all(map(math.isfinite, values))
    return statistics.stdev(values) if finite else 0.0
