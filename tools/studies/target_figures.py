"""A protocol's figures."""
from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Sequence

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from .figures import by_method, finish, methods_of, style
from .finals import Finals, mean_updates, of_method, plain, reached
from .tables import percent

PERFECT = dict(color='grey', linestyle=':', label='perfect scaling')


def draw_to_targets(finals: Finals, targets: Sequence[float], path: Path, *,
                    images: bool) -> bool:
    """Updates, or images, to each target against the batch.

    Seeds are points; a line joins their geometric means where all of them
    reached the target.

    Args:
        finals (dict): Final runs by cell.
        targets (Sequence[float]): Of the metric, the upper one first.
        path (Path): PNG to write.
        images (bool): Whether to count images.

    Returns:
        bool: Whether there was something to draw.
    """
    found = plain(finals)
    if not any(
            reached(of_cell, target) for of_cell in found.values()
            for target in targets):
        return False
    figure, axes = plt.subplots(
        1,
        len(targets),
        sharey=True,
        squeeze=False,
        figsize=(5 * len(targets), 4.5),
        layout='constrained')
    for axis, target in zip(axes[0], targets):
        _draw_target(axis, found, target, images)
        axis.set(title=f'to {percent(target)}', xlabel='batch')
        axis.set_xscale('log', base=2)
        axis.set_yscale('log')
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        axis.yaxis.set_minor_locator(NullLocator())
        axis.set_xticks(sorted({cell.batch for cell in found}))
        axis.xaxis.set_major_formatter('{x:.0f}')
        axis.yaxis.set_major_formatter('{x:.0f}')
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel('images' if images else 'updates')
    finish(figure, path)
    return True


def draw_curves(finals: Finals, targets: Sequence[float], path: Path) -> bool:
    """The metric on the validation split against the images, by batch.

    Args:
        finals (dict): Final runs by cell.
        targets (Sequence[float]): Drawn as lines.
        path (Path): PNG to write.

    Returns:
        bool: Whether there was something to draw.
    """
    # One that diverged before its first validation has no curve.
    found = {
        cell: drawn
        for cell, of_cell in plain(finals).items()
        if (drawn := [result for result in of_cell if result['metric']])
    }
    if not found:
        return False
    batches = sorted({cell.batch for cell in found})
    figure, axes = plt.subplots(
        1,
        len(batches),
        sharey=True,
        squeeze=False,
        figsize=(max(3.2 * len(batches), 6), 4),
        layout='constrained')
    for cell, of_cell in found.items():
        axis = axes[0][batches.index(cell.batch)]
        look = style(cell.method, methods_of(found))
        del look['marker']
        for result in of_cell:
            steps, values = zip(*result['metric'])
            axis.plot([step * cell.batch for step in steps],
                      [100 * value for value in values],
                      color=look['color'],
                      linestyle=look['linestyle'],
                      linewidth=0.5,
                      alpha=0.4)
        # One that diverged has fewer points.
        points = list(zip(*(result['metric'] for result in of_cell)))
        axis.plot([of_seeds[0][0] * cell.batch for of_seeds in points],
                  [100 * statistics.fmean(v for _, v in of) for of in points],
                  **look)
    for axis, batch in zip(axes[0], batches):
        for target in targets:
            axis.axhline(100 * target, color='grey', linestyle=':')
        axis.set(title=f'batch {batch}', xlabel='images')
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel('metric on the validation split, %')
    finish(figure, path)
    return True


def _draw_target(axis: Axes, found: Finals, target: float,
                 images: bool) -> None:
    batches = sorted({cell.batch for cell in found})
    least = []
    for method in by_method(found):
        look = style(method, methods_of(found))
        of_batches = of_method(found, method)
        line = []
        for batch, of_cell in of_batches.items():
            each = batch if images else 1
            seeds = [each * updates for updates in reached(of_cell, target)]
            axis.plot(
                [batch] * len(seeds),
                seeds,
                linestyle='',
                marker=look['marker'],
                markersize=4,
                fillstyle='none',
                color=look['color'])
            mean = mean_updates(of_cell, target)
            line.append(math.nan if mean is None else each * mean)
            if mean is not None and batch == batches[0]:
                least.append(mean)
        axis.plot(list(of_batches), line, **look)  # A NaN is a gap.
    if least:  # Of the method that is best at the smallest batch.
        axis.plot(batches, [
            min(least) * batches[0] / (1 if images else batch)
            for batch in batches
        ], **PERFECT)
