"""The study's figures."""
from __future__ import annotations

import math
from pathlib import Path
from typing import Iterable, Mapping, Sequence

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .cells import (
    Cell,
    by_rate,
    compared_cells,
    deviation,
    mean,
    measured,
    plain_cells,
    step_variances,
)
from .tables import mean_updates

# Without AGVM and with it, as the paper's Figure 1 has its columns: of the
# first optimizer that was measured.
MEASURED = (('sgd-measured', 'agvm-sgd'), ('adamw-measured', 'agvm-adamw'))
AGVM = 'agvm-'


def draw_batches(results: Sequence[dict], path: Path) -> bool:
    """The metric against the batch: the paper's Figure 1, lower row.

    Args:
        results (Sequence[dict]): Of one pipeline.
        path (Path): PNG to write.

    Returns:
        bool: Whether there was something to draw.
    """
    found = compared_cells(results)
    if len({cell.batch for cell in found}) < 2:
        return False
    figure, axis = plt.subplots(figsize=(6, 4), layout='constrained')
    for method, batches in by_method(found).items():
        of_method = [found[cell] for cell in batches]
        axis.errorbar([cell.batch for cell in batches],
                      [100 * mean(r) for r in of_method],
                      [100 * deviation(r) for r in of_method],
                      **style(method, methods_of(found)),
                      capsize=3)
    _finish(figure, axis, found, 'metric on the test split, %', path)
    return True


def draw_updates(results: Sequence[dict], target: float, path: Path) -> bool:
    """Updates to a target against the batch.

    Args:
        results (Sequence[dict]): Of one pipeline.
        target (float): Of the metric, 0 to 1.
        path (Path): PNG to write.

    Returns:
        bool: Whether there was something to draw.
    """
    found = {
        cell: updates
        for cell, updates in mean_updates(results, target).items()
        if math.isfinite(updates)
    }
    if len({cell.batch for cell in found}) < 2:
        return False
    figure, axis = plt.subplots(figsize=(6, 4), layout='constrained')
    methods = methods_of(compared_cells(results))
    for method, batches in by_method(found).items():
        axis.plot([cell.batch for cell in batches],
                  [found[cell] for cell in batches], **style(method, methods))
    axis.set_yscale('log', base=2)
    axis.yaxis.set_major_formatter('{x:.0f}')
    _finish(figure, axis, found,
            f'updates to {100 * target:.0f}% on the test split', path)
    return True


def draw_rates(results: Sequence[dict], path: Path) -> bool:
    """The metric against the learning rate, with and without AGVM.

    Args:
        results (Sequence[dict]): Of one pipeline.
        path (Path): PNG to write.

    Returns:
        bool: Whether there was something to draw: an optimizer that was tried
        both with and without AGVM, at one batch.
    """
    found = plain_cells(results, 'val')
    both = [
        cell for cell in found if all(
            cell._replace(method=start + _optimizer(cell.method)) in found
            for start in ('', AGVM))
    ]
    if not both:
        return False
    batches = sorted({cell.batch for cell in both})
    figure, (axes, ) = plt.subplots(
        1,
        len(batches),
        sharex=True,
        sharey=True,
        squeeze=False,
        figsize=(max(3.2 * len(batches), 6), 3.6),
        layout='constrained')
    for cell in both:
        rates = by_rate(found[cell])
        axes[batches.index(cell.batch)].errorbar(
            [*rates], [100 * mean(r) for r in rates.values()],
            [100 * deviation(r) for r in rates.values()],
            **style(cell.method, methods_of(found)),
            capsize=3)
    for axis, batch in zip(axes, batches):
        axis.set(
            title=f'batch {batch}', xlabel='learning rate', xscale='log')
        axis.xaxis.set_major_formatter('{x:g}')
        axis.xaxis.set_minor_formatter('')
        axis.grid(alpha=0.3)
    axes[0].set_ylabel('metric on the validation split, %')
    methods = dict(zip(*axes[-1].get_legend_handles_labels()[::-1]))
    figure.legend(
        methods.values(), methods, loc='outside lower center', ncols=4)
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return True


def draw_variances(results: Sequence[dict], path: Path) -> bool:
    """Step variances over the training: the paper's Figure 1, upper row.

    Args:
        results (Sequence[dict]): Of one pipeline.
        path (Path): PNG to write.

    Returns:
        bool: Whether there was something to draw.
    """
    found = measured(results)
    if not found:
        return False
    tried = {cell.method for cell in found}
    shown = next((pair for pair in MEASURED if tried & {*pair}), sorted(tried))
    methods = [method for method in shown if method in tried]
    draw_panels({
        c: r
        for c, r in found.items() if c.method in methods
    }, methods, path)
    return True


def draw_panels(found: Mapping[Cell, dict], methods: Sequence[str],
                path: Path) -> None:
    """Step variances, a row a method and a column a batch.

    Args:
        found (Mapping[Cell, dict]): A run of each cell, one or more.
        methods (Sequence[str]): Those of the cells, in their order.
        path (Path): PNG to write.
    """
    batches = sorted({cell.batch for cell in found})
    by_epoch = all('updates_per_epoch' in r for r in found.values())
    figure, axes = plt.subplots(
        len(methods),
        len(batches),
        sharex=True if by_epoch else 'col',
        sharey=True,
        squeeze=False,
        figsize=(max(3.2 * len(batches), 6), 0.4 + 2.4 * len(methods)),
        layout='constrained')
    for cell, result in found.items():
        axis = axes[methods.index(cell.method)][batches.index(cell.batch)]
        each = 1
        if by_epoch:
            each = result['updates_per_epoch'] * result['micro_batches']
        for module, points in step_variances(result).items():
            steps, values = zip(*points)
            axis.plot([step / each for step in steps],
                      values,
                      linewidth=1,
                      label=module)
    for row, method in zip(axes, methods):
        row[0].set_ylabel('variance of the step')
        for axis, batch in zip(row, batches):
            axis.set(title=f'{method}, batch {batch}', yscale='log')
            axis.grid(alpha=0.3)
    for axis in axes[-1]:
        axis.set_xlabel('epoch' if by_epoch else 'update')
    _, result = next(iter(found.items()))
    figure.legend(
        list(result['agvm']['variance']), loc='outside lower center', ncols=3)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def style(method: str, methods: Iterable[str]) -> dict:
    """A colour for each optimizer, full with AGVM and dashed without.

    Args:
        method (str): To draw.
        methods (Iterable[str]): All that are drawn.
    """
    optimizers = sorted(set(map(_optimizer, methods)))
    with_agvm = method.startswith(AGVM)
    return dict(
        label=method,
        color=f'C{optimizers.index(_optimizer(method))}',
        linestyle='-' if with_agvm else '--',
        marker='o' if with_agvm else 's')


def methods_of(found: Iterable[Cell]) -> set[str]:
    """The methods of cells."""
    return {cell.method for cell in found}


def _optimizer(method: str) -> str:
    return method[len(AGVM):] if method.startswith(AGVM) else method


def by_method(found: Iterable[Cell]) -> dict[str, list[Cell]]:
    """Cells by method, in their order."""
    methods: dict[str, list[Cell]] = {}
    for cell in found:
        methods.setdefault(cell.method, []).append(cell)
    return methods


def _finish(figure: Figure, axis: Axes, found: dict[Cell, object], ylabel: str,
            path: Path) -> None:
    axis.set_xscale('log', base=2)
    axis.set_xticks(sorted({cell.batch for cell in found}))
    axis.xaxis.set_major_formatter('{x:.0f}')
    axis.set(xlabel='batch', ylabel=ylabel)
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
