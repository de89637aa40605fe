"""Plot what AGVM measured and did in a run: one colour a module.

From the JSON log, in the manner of the paper's Figure 1: each module's
gradient variance, learning-rate factor and gradient noise scale.
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

# What is logged, as what it is shown, and whether its axis is logarithmic.
PANELS = (
    ('variance', 'gradient variance', True),
    ('lr_scale', 'learning-rate factor', False),
    ('noise_scale', 'gradient noise scale\n(samples)', True),
)
SMOOTHING = 0.8  # momentum of the strong trace


def smoothed(values: list[float]) -> list[float]:
    """The moving average of a trace, from its first value on."""
    trace = []
    for value in values:
        last = trace[-1] if trace else value
        trace.append(SMOOTHING * last + (1 - SMOOTHING) * value)
    return trace


def plot(rows: list[dict], title: str, out: Path) -> None:
    """Draw the panels of all modules.

    Args:
        rows (list[dict]): From :func:`read_log`.
        title (str): Of the figure.
        out (Path): PNG to write.
    """
    figure, axes = plt.subplots(
        len(PANELS), sharex=True, figsize=(9, 9), layout='constrained')
    for (quantity, label, logarithmic), axis in zip(PANELS, axes):
        for index, module in enumerate(modules_of(rows)):
            key = f'agvm/{quantity}/{module}'
            points = [(row['step'], row[key]) for row in rows if key in row]
            if not points:
                continue
            steps, values = zip(*points)
            colour = f'C{index}'
            axis.plot(steps, values, color=colour, alpha=0.25, linewidth=1)
            axis.plot(
                steps,
                smoothed(values),
                color=colour,
                linewidth=2,
                label=module)
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
        if logarithmic:
            axis.set_yscale('log')
    axes[0].set_title(title)
    axes[-1].set_xlabel('iteration')
    handles, labels = axes[0].get_legend_handles_labels()
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
    parser.add_argument('work_dir', type=Path, help='work dir of a run')
    parser.add_argument(
        '--out', type=Path, help='PNG to write (default: WORK_DIR/agvm.png)')
    args = parser.parse_args(argv)
    out = args.out or args.work_dir / 'agvm.png'
    try:
        rows = read_log(args.work_dir)
    except ValueError as error:
        sys.exit(f'plot_variance.py: {error}')
    plot(rows, args.work_dir.resolve().name, out)
    print(f'wrote {out}')


if __name__ == '__main__':
    main()
