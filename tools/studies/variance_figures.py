"""The study's figures of variances."""
from __future__ import annotations

from pathlib import Path
from typing import Mapping, Sequence

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt

from .cells import Cell, measured, step_variances
from .figures import finish

# Without AGVM and with it, as the paper's Figure 1 has its columns: of the
# first optimizer that was measured.
MEASURED = (('sgd-measured', 'agvm-sgd'), ('adamw-measured', 'agvm-adamw'))


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
    """Step variances, a row a batch and a column a method.

    Args:
        found (Mapping[Cell, dict]): A run of each cell, one or more.
        methods (Sequence[str]): Those of the cells, in their order.
        path (Path): PNG to write.
    """
    batches = sorted({cell.batch for cell in found})
    modules = list(
        dict.fromkeys(module for result in found.values()
                      for module in result['agvm']['variance']))
    by_epoch = all('updates_per_epoch' in r for r in found.values())
    figure, axes = plt.subplots(
        len(batches),
        len(methods),
        sharex=True if by_epoch else 'row',
        sharey=True,
        squeeze=False,
        figsize=(max(3.6 * len(methods), 6), 0.6 + 1.9 * len(batches)),
        layout='constrained')
    for cell, result in found.items():
        axis = axes[batches.index(cell.batch)][methods.index(cell.method)]
        each = 1
        if by_epoch:
            each = result['updates_per_epoch'] * result['micro_batches']
        for module, points in step_variances(result).items():
            steps, values = zip(*points)
            axis.plot([step / each for step in steps],
                      values,
                      linewidth=1,
                      color=f'C{modules.index(module)}',
                      label=module)
    for row, batch in zip(axes, batches):
        row[0].set_ylabel('variance of the step')
        for axis, method in zip(row, methods):
            axis.set(title=f'{method}, batch {batch}', yscale='log')
            axis.grid(alpha=0.3)
    for axis in axes[-1]:
        axis.set_xlabel('epoch' if by_epoch else 'update')
    finish(figure, path)
