"""The benchmark's command line."""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Sequence

from . import estimator, step
from .training import PIPELINES, QUICK


def parse_args(description: str,
               parts: Sequence[str],
               arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line.

    Args:
        description (str): Of the parts.
        parts (Sequence[str]): That can be asked for.
        arguments (Sequence[str], optional): Instead of the command line.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('part', choices=(*parts, 'all'))
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('benchmark.json'),
        help='JSON to write, or to add a part to; scale draws a PNG beside it'
        '\n(default: %(default)s)')

    group = parser.add_argument_group('overhead')
    group.add_argument(
        '--pipelines',
        nargs='+',
        choices=[*PIPELINES, *QUICK],
        default=list(PIPELINES))
    group.add_argument(
        '--ranks', type=int, default=2, help='processes (default: 2)')
    group.add_argument(
        '--repetitions',
        type=int,
        help='timed iterations of each way (default: 3 or 2)')
    group.add_argument(
        '--image-scale',
        type=float,
        default=1.0,
        help="of the paper's image sizes (default: 1)")

    group = parser.add_argument_group('step')
    group.add_argument(
        '--models',
        nargs='+',
        choices=list(step.MODEL_CONFIGS),
        default=list(step.MODEL_CONFIGS))
    group.add_argument(
        '--steps', type=int, default=30, help='timed steps (default: 30)')

    group = parser.add_argument_group('recovery')
    group.add_argument(
        '--checkpoints',
        type=int,
        default=9,
        help='timed checkpoints, beside --out (default: 9)')

    group = parser.add_argument_group('estimator')
    for name, default, what in (
        ('updates', 100, 'of the training before'),
        ('pool', 256, 'replicas to draw from'),
        ('draws', 2000, 'sets of replicas for each n')):  # yapf: disable
        group.add_argument(
            f'--{name}', type=int, default=default, help=f'{what} ({default})')

    group = parser.add_argument_group('scale')
    group.add_argument(
        '--interval', type=int, default=10, help='of measurements (10)')
    for name, default, what in (
        ('base', 6.8e-6, 'seconds of any collective (6.8e-6: NCCL,\n'
         'src/graph/tuning.cc, baseLat, tree, LL)'),
        ('alpha', 5e-6, 'seconds of a hop (5e-6: ibid., hwLat, network, tree,'
         '\nLL; a hop inside of a machine is shorter)'),
        ('bandwidth', 25e9, 'bytes per second of a GPU (25e9: InfiniBand HDR,'
         '\n200 Gb/s)'),
        ('iteration', 0.273, 'seconds of an iteration (0.273: the paper, 4.2'
         '\nminutes for 924 on 768 A100)')):  # yapf: disable
        group.add_argument(f'--{name}', type=float, default=default, help=what)
    return parser.parse_args(arguments)


def check(args: argparse.Namespace) -> None:
    """Refuse, before minutes of measuring, what cannot end well.

    Args:
        args (argparse.Namespace): The command line.

    Raises:
        ValueError: That names the option, its value and what is allowed.
    """
    least = dict(
        ranks=2,  # or there is nothing to compare
        repetitions=1,
        steps=1,
        checkpoints=1,
        updates=0,
        pool=max(estimator.NUM_REPLICAS),
        draws=2,
        interval=1)
    for name, low in least.items():
        value = getattr(args, name)
        if value is not None and value < low:
            raise ValueError(f'--{name} {value} is not allowed: it must be '
                             f'{low} or more')
    for name in ('image_scale', 'bandwidth', 'iteration'):
        value = getattr(args, name)
        if value <= 0:
            raise ValueError(f'--{name.replace("_", "-")} {value} is not '
                             'allowed: it must be above 0')
    if not args.out.resolve().parent.is_dir():
        raise ValueError(f'--out {args.out}: there is no folder '
                         f'{args.out.resolve().parent}; make it first')
