"""Plot what AGVM measured and did in a run: one colour a module.

From the JSON log: each module's gradient variance, learning-rate factor, the
variance of its steps, which AGVM aligns, and gradient noise scale. Several
runs are drawn side by side, on the same axes.
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Sequence

import matplotlib

from agvm_mm.engine.logs import modules_of, read_log

matplotlib.use('Agg')
import matplotlib.pyplot as plt
from matplotlib.ticker import LogFormatter
from reports.series import points_of, smoothed, spread

# What is logged, as what it is shown, and whether its axis is logarithmic.
PANELS = (
    ('variance', 'gradient variance', True),
    ('lr_scale', 'learning-rate factor', False),
    ('step_variance', 'variance of the steps\n(variance x factor²)', True),
    ('noise_scale', 'gradient noise scale\n(samples)', True),
)


def plot(runs: dict[str, list[dict]], out: Path) -> None:
    """Draw the panels of all modules, one column a run.

    Args:
        runs (dict[str, list[dict]]): Title and rows of each run, which are
            from :func:`read_log`.
        out (Path): PNG to write.
    """
    modules = dict.fromkeys(module for rows in runs.values()
                            for module in modules_of(rows))
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
                points = [
                    (update, value)
                    for update, value in points_of(rows, quantity, module)
                    if value > 0 or not logarithmic
                ]
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
