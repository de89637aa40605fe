"""Run a study of AGVM, on Digits or photographs, and report what it found.

run     trains what a YAML file lists and is not done yet; to be stopped and
        started again at will
report  draws the figures and writes the pages from the stored results
branch  goes on from a checkpoint at several batches, and sets the largest one
        that costs no loss beside each module's noise scale
"""
from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from pathlib import Path
from typing import Sequence

from command_line.console import new_console
from mmengine.config import Config
from rich.console import Console
from studies.branch_command import (
    TOLERANCE,
    add_branch,
    run_branches,
    show_branches,
)
from studies.execute import Trainings
from studies.grid import expand, missing, read_study
from studies.pages import write_pages
from studies.processes import ROOT, read_results, run_all
from studies.voc import prepare_voc

from agvm_mm.datasets import write_digits


def prepare(study: Config, given: Path | None, console: Console) -> None:
    """Make the data and the pre-trained weights that are missing.

    Args:
        study (Config): The study.
        given (Path, optional): File of published weights.
        console (Console): Shows what is made.

    Raises:
        FileNotFoundError: If photographs or published weights are missing.
        RuntimeError: If the pre-training fails.
    """
    used = {study.pipelines[run.pipeline].weights for run in expand(study, [])}
    if study.data.get('kind') == 'voc':
        prepare_voc(ROOT / study.data.root, used, given, console)
        return
    data = study.data.to_dict()
    write_digits(ROOT / data.pop('root'), **data)
    for weights in sorted(used):
        if (ROOT / weights).is_file():
            continue
        console.print(
            f'{weights} is missing, and is made: half a minute',
            soft_wrap=True)  # paths stay whole
        command = [
            sys.executable, ROOT / 'tools/pretrain_digits.py',
            ROOT / study.pretrained[weights], ROOT / weights, '--data-root',
            ROOT / study.data.root
        ]
        made = subprocess.run(command, capture_output=True, text=True)
        if made.returncode:
            raise RuntimeError(f'making {weights} failed:\n{made.stderr}')


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line; run or report.

    Args:
        argv (Sequence[str], optional): Instead of the command line.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest='command', required=True)
    run = commands.add_parser('run', help='train what is not done')
    run.add_argument('study', help='YAML file, as docs/study/quick.yaml')
    run.add_argument(
        '--jobs', type=int, default=1, help='trainings at once (default: 1)')
    run.add_argument(
        '--work-dir',
        type=Path,
        default=ROOT / 'work_dirs/study',
        help='folder for logs (default: work_dirs/study)')
    run.add_argument(
        '--results',
        type=Path,
        help="folder of result files (default: the study's own)")
    run.add_argument(
        '--data',
        type=Path,
        help="photographs, in PASCAL VOC's layout (default: the study's own)")
    run.add_argument(
        '--weights',
        type=Path,
        help='file of EfficientNet-Lite0 as its package has it, to convert; '
        'once is enough')
    report = commands.add_parser('report', help='draw')
    report.add_argument(
        'study',
        nargs='?',
        help='YAML file with a protocol or variants, which has pages of its '
        'own (default: all pages of docs)')
    report.add_argument(
        '--results',
        type=Path,
        help="folder of result files (default: the study's own)")
    report.add_argument(
        '--out',
        type=Path,
        default=ROOT / 'docs',
        help='folder for the pages and figures (default: docs)')
    report.add_argument(
        '--branches',
        type=Path,
        help='instead: folder that branch wrote, to show it again')
    add_branch(commands)
    args = parser.parse_args(argv)
    console = new_console()
    # As Ctrl-C: what runs is stopped too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if args.command == 'run':
            study = read_study(args.study)
            if study.data.get('kind') != 'voc' and (args.data or args.weights):
                raise ValueError(
                    f'{args.study} makes its data and weights: --data and '
                    '--weights are for studies on photographs')
            args.results = args.results or ROOT / study.results
            if args.data:
                study.data.root = str(args.data.resolve())
            if missing(study, read_results(args.results)):
                prepare(study, args.weights, console)
            run_all(
                Trainings(study, args.results, args.work_dir.resolve()),
                lambda: missing(study, read_results(args.results)), args.jobs,
                console)
            for run in expand(study, read_results(args.results)):
                if run.lr is None:
                    raise ValueError(
                        f'{run.name} was left out: {args.study} has no run '
                        'that tells its learning rate')
            console.print(
                f'all runs are done; results: {args.results}', soft_wrap=True)
        elif args.command == 'branch':
            run_branches(args, console)
        elif args.branches:
            show_branches(args.branches, TOLERANCE, console)
        else:
            for path in write_pages(args.study, args.results, args.out):
                console.print(f'wrote {path}', soft_wrap=True)
    except (FileNotFoundError, ValueError, RuntimeError) as error:
        sys.exit(f'study.py: {error}')
    except KeyboardInterrupt:
        sys.exit('study.py: stopped; the same command goes on')


if __name__ == '__main__':
    main()
