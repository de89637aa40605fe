"""The study's figures of metrics and updates."""
from __future__ import annotations

import math
from pathlib import Path
from typing import Iterable, Sequence

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
    plain_cells,
)
from .tables import mean_updates

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
    rows = math.ceil(len(batches) / 2)
    figure, axes = plt.subplots(
        rows,
        2,
        sharex=True,
        sharey=True,
        squeeze=False,
        figsize=(7, 0.8 + 2.6 * rows),
        layout='constrained')
    axes = axes.flat
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
        axis.label_outer()
        axis.grid(alpha=0.3)
    for axis in axes[len(batches):]:
        axis.remove()
    figure.supylabel('metric on the validation split, %', fontsize='medium')
    finish(figure, path)
    return True


def finish(figure: Figure, path: Path) -> None:
    """Write a figure, with one legend below for all its panels.

    Args:
        figure (Figure): Of which a panel may lack lines that others have.
        path (Path): PNG to write.
    """
    lines = {
        label: line
        for axis in figure.axes
        for line, label in zip(*axis.get_legend_handles_labels())
    }
    figure.legend(
        list(lines.values()), list(lines), loc='outside lower center', ncols=4)
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
