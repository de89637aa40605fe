"""Report a training in one HTML file: was the batch right, and AGVM worth it?

At the top a verdict in sentences, each from a rule that docs/report.md states;
below it what ran, and charts of what was logged. Several runs, as one without
AGVM and one with it, stand side by side on the same axes. The file needs no
network.
"""
from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import Sequence

from command_line.console import new_console
from command_line.outputs import writing
from command_line.refusals import one_line
from reports.judging import compare, judge
from reports.reading import read_run, titled
from reports.run import Run


def check_plotly() -> None:
    """Refuse to go on without the library that draws.

    Raises:
        ValueError: If it is not installed.
    """
    if importlib.util.find_spec('plotly') is None:
        raise ValueError('the report is drawn by plotly, which is not '
                         'installed: pip install plotly')


def read_runs(work_dirs: Sequence[Path]) -> list[Run]:
    """Read runs.

    Args:
        work_dirs (Sequence[Path]): Of trainings.

    Raises:
        ValueError: If one holds no training.
    """
    return [read_run(work_dir, title) for title, work_dir in titled(work_dirs)]


def write_report(runs: Sequence[Run], out: Path) -> None:
    """Write the file.

    Args:
        runs (Sequence[Run]): To stand side by side.
        out (Path): HTML to write.

    Raises:
        OSError: If it cannot be written.
    """
    # Not needed by whoever only reads, and may not be there.
    from reports.page import page
    text = page(runs)
    with writing(out):
        out.write_text(text, encoding='utf-8')


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and report.

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
        help='HTML to write (default: report.html in the first WORK_DIR)')
    args = parser.parse_args(argv)
    out = args.out or args.work_dirs[0] / 'report.html'
    console = new_console()
    with one_line('report.py'):
        check_plotly()
        runs = read_runs(args.work_dirs)
        write_report(runs, out)
    for run in runs:
        console.print(run.title)
        for sentence in judge(run):
            console.print(f'  {sentence}', highlight=False)
    if len(runs) > 1:
        console.print('side by side')
        for sentence in compare(runs):
            console.print(f'  {sentence}', highlight=False)
    console.print(f'wrote {out}', soft_wrap=True)


if __name__ == '__main__':
    main()
