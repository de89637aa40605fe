"""Plot what AGVM measured and did in a run: one colour a module.

From the JSON log: each module's gradient variance, learning-rate factor, the
variance of its steps, which AGVM aligns, and gradient noise scale. Several
runs are drawn side by side, on the same axes.
"""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Sequence

import matplotlib
from command_line.outputs import writing
from command_line.refusals import one_line
from reports.logs import modules_of, read_log

matplotlib.use('Agg')
import matplotlib.pyplot as plt
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.ticker import LogFormatter
from reports.reading import titled
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

    Raises:
        OSError: If it cannot be written.
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
    # A module may be in one of the runs alone, and in one panel alone.
    drawn = {
        label: handle
        for axis in axes.flat
        for handle, label in zip(*axis.get_legend_handles_labels())
    }
    labels = [module for module in modules if module in drawn]
    figure.legend([drawn[label] for label in labels],
                  labels,
                  loc='outside lower center',
                  ncols=min(4, len(labels)))
    with writing(out):
        figure.savefig(out, dpi=120)
    plt.close(figure)


def check_suffix(out: Path) -> None:
    """Refuse a kind of picture that nobody can draw.

    Args:
        out (Path): The picture.

    Raises:
        ValueError: That names those that can be drawn.
    """
    known = FigureCanvasBase.get_supported_filetypes()
    if out.suffix[1:].lower() not in known:
        raise ValueError(f'--out {out}: the file must end in .png, or in '
                         f'another of {", ".join(known)}')


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
    with one_line('plot_variance.py'):
        check_suffix(out)
        runs = {
            title: read_log(work_dir)
            for title, work_dir in titled(args.work_dirs)
        }
        plot(runs, out)
    for title, rows in runs.items():
        print(f"{title}: the largest variance of the modules' steps is "
              f'{spread(rows):.1f} times the smallest (medians)')
    print(f'wrote {out}')


if __name__ == '__main__':
    main()
