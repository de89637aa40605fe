"""Plot what AGVM measured and did in a run: one colour a module.

From the JSON log: each module's gradient variance, learning-rate factor, the
variance of its steps, which AGVM aligns, and gradient noise scale. Several
runs are drawn side by side, on the same axes.
"""
from __future__ import annotations

import argparse
import math
import statistics
import sys
from pathlib import Path
from typing import Sequence

import matplotlib

from agvm_mm.engine.logs import modules_of, read_log

matplotlib.use('Agg')
import matplotlib.pyplot as plt
from matplotlib.ticker import LogFormatter

# What is logged, as what it is shown, and whether its axis is logarithmic.
PANELS = (
    ('variance', 'gradient variance', True),
    ('lr_scale', 'learning-rate factor', False),
    ('step_variance', 'variance of the steps\n(variance x factor²)', True),
    ('noise_scale', 'gradient noise scale\n(samples)', True),
)
SMOOTHING = 0.8  # momentum of the strong trace


def smoothed(values: list[float], logarithmic: bool) -> list[float]:
    """The moving average of a trace, from its first value on.

    Args:
        values (list[float]): The trace.
        logarithmic (bool): Whether it is drawn on such an axis, where the
            average of what one sees is the geometric one.
    """
    trace: list[float] = []
    for value in values:
        value = math.log(value) if logarithmic else value
        last = trace[-1] if trace else value
        trace.append(SMOOTHING * last + (1 - SMOOTHING) * value)
    return [math.exp(value) for value in trace] if logarithmic else trace


def points_of(rows: list[dict], quantity: str,
              module: str) -> list[tuple[int, float]]:
    """The updates of a run and a module's values there.

    Args:
        rows (list[dict]): From :func:`read_log`.
        quantity (str): Of :data:`PANELS`. A module's steps are its learning
            rate times its gradient: their variance, over that of the common
            rate, is what the paper writes eta^2 (1 - cos).
        module (str): Its name.
    """
    if quantity == 'step_variance':
        scales = dict(points_of(rows, 'lr_scale', module))
        return [(update, variance * scales[update]**2)
                for update, variance in points_of(rows, 'variance', module)
                if update in scales]
    key = f'agvm/{quantity}/{module}'
    return [(row['update'], row[key]) for row in rows if key in row]


def spread(rows: list[dict]) -> float:
    """How far the variances of the modules' steps are apart.

    Args:
        rows (list[dict]): From :func:`read_log`.

    Returns:
        float: The largest over the smallest of their medians over the run; 1
        where they are aligned.
    """
    medians = [
        statistics.median(value for _, value in points)
        for points in (points_of(rows, 'step_variance', module)
                       for module in modules_of(rows)) if points
    ]
    return max(medians) / max(min(medians), 1e-6)


def plot(runs: dict[str, list[dict]], out: Path) -> None:
    """Draw the panels of all modules, one column a run.

    Args:
        runs (dict[str, list[dict]]): Title and rows of each run, which are
            from :func:`read_log`.
        out (Path): PNG to write.
    """
    modules = dict.fromkeys(
        module for rows in runs.values() for module in modules_of(rows))
    figure, axes = plt.subplots(
        len(PANELS),
        len(runs),
        sharex='col',
        sharey='row',
        squeeze=False,
        figsize=(9 if len(runs) == 1 else 5.5 * len(runs), 11),
        layout='constrained')
    for column, (title, rows) in zip(axes.T, runs.items()):
        for (quantity, label, logarithmic), axis in zip(PANELS, column):
            for index, module in enumerate(modules):
                points = [(update, value) for update, value in points_of(
                    rows, quantity, module) if value > 0 or not logarithmic]
                if not points:
                    continue
                updates, values = zip(*points)
                colour = f'C{index}'
                axis.plot(
                    updates, values, color=colour, alpha=0.25, linewidth=1)
                axis.plot(
                    updates,
                    smoothed(values, logarithmic),
                    color=colour,
                    linewidth=2,
                    label=module)
            if logarithmic:
                axis.set_yscale('log')
                axis.yaxis.set_major_formatter('{x:g}')
                axis.yaxis.set_minor_formatter(LogFormatter())
            if axis.get_subplotspec().is_first_col():
                axis.set_ylabel(label)
            axis.grid(alpha=0.3)
        column[0].set_title(title)
        column[-1].set_xlabel('update')
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc='outside lower center', ncols=min(4, len(labels)))
    figure.savefig(out, dpi=120)
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and plot.

    Args:
        argv (Sequence[str], optional): Instead of the command line.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        'work_dirs',
        nargs='+',
        type=Path,
        metavar='WORK_DIR',
        help='work dir of a run')
    parser.add_argument(
        '--out',
        type=Path,
        help='PNG to write (default: agvm.png in the first WORK_DIR)')
    args = parser.parse_args(argv)
    out = args.out or args.work_dirs[0] / 'agvm.png'
    runs = {}
    try:
        for work_dir in args.work_dirs:
            name = work_dir.resolve().name
            runs[str(work_dir) if name in runs else name] = read_log(work_dir)
    except ValueError as error:
        sys.exit(f'plot_variance.py: {error}')
    plot(runs, out)
    for title, rows in runs.items():
        print(f"{title}: the largest variance of the modules' steps is "
              f'{spread(rows):.1f} times the smallest (medians)')
    print(f'wrote {out}')


if __name__ == '__main__':
    main()
