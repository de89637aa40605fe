"""The study's tables, in Markdown."""
from __future__ import annotations

import math
import statistics
from typing import Any, Callable, Iterable, Mapping, Sequence

import numpy as np

from .cells import (
    Cell,
    best_rate,
    by_rate,
    cells,
    compared_cells,
    deviation,
    mean,
    plain_cells,
    updates_to,
)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table.

    Args:
        head (Sequence[str]): Names of the columns.
        rows (Iterable[Sequence[str]]): Cells, row by row.
    """
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def by_batch(found: Mapping[Cell, Any], shown: Callable[[Cell, Any],
                                                        str]) -> str:
    """A row a method and a column a batch.

    Args:
        found (Mapping[Cell, Any]): What there is of each cell.
        shown (Callable): Says it in a few words.
    """
    batches = sorted({cell.batch for cell in found})
    rows = []
    for method in dict.fromkeys(cell.method for cell in found):
        of = {c.batch: c for c in found if c.method == method}
        rows.append([
            method,
            *(shown(of[b], found[of[b]]) if b in of else '' for b in batches)
        ])
    return table(['method', *(f'batch {batch}' for batch in batches)], rows)


def percent(value: float) -> str:
    """A metric, with one digit after the point."""
    return f'{100 * value:.1f}'


def with_deviation(of_cell: Sequence[dict]) -> str:
    """Mean and deviation over seeds, in percent."""
    text = percent(mean(of_cell))
    if len(of_cell) > 1:
        text += f' ± {percent(deviation(of_cell))}'
    diverged = sum(result['diverged'] for result in of_cell)
    return text + (f' ({diverged} diverged)' if diverged else '')


def rates(results: Sequence[dict]) -> str:
    """What each learning rate came to, on the validation split."""
    rows = []
    for cell, of_cell in plain_cells(results, 'val').items():
        tried = []
        for lr, of_rate in by_rate(of_cell).items():
            text = with_deviation(of_rate)
            if lr == best_rate(of_cell):
                text = f'**{text}**'
            tried.append(f'{lr:g}: {text}')
        rows.append([cell.method, str(cell.batch), ', '.join(tried)])
    return table(['method', 'batch', 'learning rate: metric'], rows)


def same_rate(results: Sequence[dict]) -> str:
    """AGVM's gain at each learning rate, on the validation split.

    Empty if no rate was run both with and without AGVM.
    """
    found = plain_cells(results, 'val')
    rows = []
    for cell, of_cell in found.items():
        method = f'agvm-{cell.method}'
        ours = by_rate(found.get(cell._replace(method=method), []))
        gains = [
            f'{lr:g}: {100 * (mean(ours[lr]) - mean(without)):+.1f}'
            for lr, without in by_rate(of_cell).items() if lr in ours
        ]
        if gains:
            rows.append([method, str(cell.batch), ', '.join(gains)])
    if not rows:
        return ''
    return table(['method', 'batch', 'learning rate: gain'], rows)


def finals(results: Sequence[dict]) -> str:
    """Each method's metric at each batch, on the test split."""
    return by_batch(
        compared_cells(results), lambda _, of_cell:
        f'{with_deviation(of_cell)}, at {of_cell[0]["run"]["lr"]:g}')


def mean_updates(results: Sequence[dict], target: float) -> dict[Cell, float]:
    """Updates to a target, the mean over seeds; infinity if one never did."""
    return {
        cell: statistics.fmean(updates_to(r, target) for r in of_cell)
        for cell, of_cell in compared_cells(results).items()
    }


def to_target(results: Sequence[dict], target: float) -> str:
    """Updates to a target metric."""
    return by_batch(
        mean_updates(results, target), lambda _, updates: 'never'
        if math.isinf(updates) else f'{updates:.0f}')


def controls(results: Sequence[dict]) -> str:
    """What else was tried, on the test split."""
    found = cells(results, 'test')
    tagged = [cell for cell in found if cell.tag]
    plain = {Cell(*cell[:3]) for cell in tagged}
    rows = [[
        cell.method,
        str(cell.batch), cell.tag or '-', f'{found[cell][0]["run"]["lr"]:g}',
        with_deviation(found[cell])
    ] for cell in found if cell.tag or cell in plain]
    return table(['method', 'batch', 'control', 'learning rate', 'metric'],
                 rows)


def modules(found: Mapping[Cell, dict]) -> str:
    """What AGVM measured in each module, in thirds of the training.

    Args:
        found (Mapping[Cell, dict]): A run of each cell that it measured.
    """
    rows = []
    for cell, result in found.items():
        for module in result['agvm']['variance']:
            rows.append([
                ', '.join(filter(None, (cell.method, cell.tag))),
                str(cell.batch), module,
                *(' / '.join(
                    _short(value)
                    for value in _thirds(result['agvm'][kind].get(module, [])))
                  for kind in ('variance', 'lr_scale', 'noise_scale'))
            ])
    return table([
        'method', 'batch', 'module', 'variance', 'learning-rate factor',
        'noise scale, samples'
    ], rows)


def _short(value: float) -> str:
    return f'{value:.0f}' if value >= 10 else f'{value:.2g}'


def _thirds(points: Sequence[Sequence[float]]) -> list[float]:
    """The medians of the first, second and last third of a run."""
    values = [value for _, value in points]
    return [
        statistics.median(third) for third in np.array_split(values, 3)
        if len(third)
    ]
