"""``study.py branch``: its command line, and what it prints."""
from __future__ import annotations

import argparse
from pathlib import Path

from command_line.configs import Options, load_config
from rich.console import Console

from agvm_mm.large_batch.optimizer_rules import RULES

from .branch_report import draw_points, points_of, summary_of, tables_of
from .branches import BranchTrainings, plan_branches, unfinished
from .processes import read_results, run_all

TOLERANCE = 0.02


def add_branch(commands: argparse._SubParsersAction) -> None:
    """The command line of ``branch``.

    Args:
        commands (argparse._SubParsersAction): Of the parser.
    """
    branch = commands.add_parser('branch', help='measure the critical batch')
    branch.add_argument('config', help='of the training, with its total batch')
    branch.add_argument('checkpoint', help='that it saved, to go on from')
    branch.add_argument(
        '--batches',
        type=int,
        nargs='+',
        default=[16, 32, 64, 128, 256],
        help='total batches (default: 16 32 64 128 256)')
    branch.add_argument(
        '--images',
        type=int,
        default=4096,
        help='that each branch trains (default: 4096)')
    branch.add_argument(
        '--rule',
        choices=list(RULES),
        help='of the learning rate (default: that of the optimizer)')
    branch.add_argument(
        '--tolerance',
        type=float,
        default=TOLERANCE,
        help="share of the smallest batch's loss (default: 0.02)")
    branch.add_argument(
        '--loss-images',
        type=int,
        default=512,
        help='on which the loss is evaluated (default: 512)')
    branch.add_argument(
        '--seeds',
        type=int,
        default=1,
        help="orders of the images (default: 1); 3 show the loss's noise")
    branch.add_argument(
        '--jobs', type=int, default=1, help='trainings at once (default: 1)')
    branch.add_argument(
        '--out',
        type=Path,
        default=Path('work_dirs/branch'),
        help='folder for results, logs and the figure; of several '
        'checkpoints if you like (default: work_dirs/branch)')
    branch.add_argument(
        '--cfg-options',
        nargs='+',
        action=Options,
        metavar='KEY=VALUE',
        help='change settings of the config')


def run_branches(args: argparse.Namespace, console: Console) -> None:
    """Go on at several batches, and compare.

    Args:
        args (argparse.Namespace): The command line.
        console (Console): Shows progress and what was found.

    Raises:
        ValueError: If the branches cannot be compared.
    """
    if args.tolerance <= 0:
        raise ValueError(f'--tolerance {args.tolerance} must be > 0, as 0.02')
    cfg = load_config(args.config, args.cfg_options)
    branches = plan_branches(cfg,
                             Path(args.config).stem, args.checkpoint,
                             args.batches, args.seeds, args.images,
                             args.loss_images, args.rule)
    results = args.out / 'results'
    todo = unfinished(branches, results)
    if todo:
        trainings = BranchTrainings(cfg, args.checkpoint, results,
                                    args.out / 'logs')
        run_all(trainings, lambda: todo, args.jobs, console)
    show_branches(args.out, args.tolerance, console)


def show_branches(folder: Path, tolerance: float, console: Console) -> None:
    """Print what is stored, and draw it.

    Args:
        folder (Path): That ``--out`` named.
        tolerance (float): Share of the smallest batch's loss.
        console (Console): To print on.

    Raises:
        ValueError: If nothing is stored there that can be compared.
    """
    results = read_results(folder / 'results')
    points = points_of(results, tolerance)
    if not points:
        raise ValueError(f'{folder} holds no results of two batches or more '
                         'of which the smallest did not diverge: name the '
                         '--out of study.py branch')
    for point in points:
        console.print(f'\n{point.name}', soft_wrap=True)
        for table in tables_of(point, tolerance):
            console.print(table)
        console.print(summary_of(point), soft_wrap=True)
        for warning in point.warnings(tolerance):
            console.print(f'warning: {warning}', soft_wrap=True)
    told = {point.name for point in points}
    for name in dict.fromkeys(r['point'] for r in results):
        if name not in told:
            console.print(
                f'warning: {name} is left out: its smallest batch is not '
                'done, or diverged, or is its only one',
                soft_wrap=True)
    draw_points(points, folder / 'branch.png')
    console.print(f'wrote {folder / "branch.png"}', soft_wrap=True)
