"""Measure what AGVM costs, and what its parameter groups save.

overhead   AGVM's own time, messages and memory in the training of real models
step       an optimizer's step with paramwise_cfg: MMEngine's groups and ours
estimator  spread and bias of 'replica' against 'half_batch' on real gradients
scale      a model of the overhead on 8 to 2,048 GPUs, from what overhead found
all        all of them
"""
from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any, Callable, Sequence

import torch
from benchmarks import estimator, log_line, overhead, report, scale, step
from benchmarks.training import PIPELINES, QUICK
from command_line.console import new_console

PARTS = ('overhead', 'step', 'estimator', 'scale')

Progress = Callable[[str], None]


def run_overhead(args: argparse.Namespace, progress: Progress,
                 results: dict) -> dict:
    """See :mod:`benchmarks.overhead`; with the cost of a log line."""
    progress('log lines')
    logging = log_line.measure(repetitions=50)
    found: dict[str, Any] = dict(log_line=logging)
    for name in args.pipelines:
        progress(f'{name}, some minutes')
        found[name] = overhead.measure(
            {
                **PIPELINES,
                **QUICK
            }[name],
            ranks=args.ranks,
            repetitions=args.repetitions,
            image_scale=args.image_scale,
            logging=logging['seconds_per_iteration'])
    return found


def run_step(args: argparse.Namespace, progress: Progress,
             results: dict) -> dict:
    """See :mod:`benchmarks.step`."""
    found = {}
    for name in args.models:
        progress(name)
        found[name] = step.measure(name, repetitions=args.steps)
    return found


def run_estimator(args: argparse.Namespace, progress: Progress,
                  results: dict) -> dict:
    """See :mod:`benchmarks.estimator`."""
    return estimator.measure(
        updates=args.updates,
        pool=args.pool,
        draws=args.draws,
        on_progress=progress)


def run_scale(args: argparse.Namespace, progress: Progress,
              results: dict) -> dict:
    """See :mod:`benchmarks.scale`.

    Raises:
        ValueError: If nothing was measured yet.
    """
    if 'overhead' not in results:
        raise ValueError(f'{args.out} holds no overhead to go by: run '
                         '"benchmark.py overhead" with the same --out first')
    network = scale.Network(args.base, args.alpha, args.bandwidth,
                            args.iteration)
    shares = {
        name: scale.predict(found, network, args.interval)
        for name, found in results['overhead'].items() if name != 'log_line'
    }
    name = next(iter(shares))
    scale.plot(shares[name],
               f'AGVM at interval {args.interval}, {name}: a model',
               args.out.with_suffix('.png'))
    return dict(
        network=network._asdict(), interval=args.interval, shares=shares)


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


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    cpuinfo = Path('/proc/cpuinfo')
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(':')[1].strip() for line in lines
             if line.startswith('model name')]  # yapf: disable
    return dict(
        processor=names[0] if names else platform.processor(),
        cores=torch.get_num_threads(),
        gpu=torch.cuda.get_device_name()
        if torch.cuda.is_available() else None,
        gpus=torch.cuda.device_count(),
        torch=torch.__version__,
        python=platform.python_version())


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line, or other arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('part', choices=(*PARTS, 'all'))
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


def main(argv: Sequence[str] | None = None) -> None:
    """Run the parts, write what they found and show it.

    Args:
        argv (Sequence[str], optional): Instead of the command line.
    """
    args = parse_args(argv)
    try:
        check(args)
    except ValueError as error:
        sys.exit(f'benchmark.py: {error}')
    console = new_console()
    results = json.loads(args.out.read_text()) if args.out.exists() else {}
    results['machine'] = machine()
    runners = dict(
        overhead=run_overhead,
        step=run_step,
        estimator=run_estimator,
        scale=run_scale)
    for part in PARTS if args.part == 'all' else (args.part, ):
        start = time.time()
        with console.status(part) as status:

            def progress(what: str, part: str = part) -> None:
                status.update(f'{part}: {what}')

            try:
                results[part] = runners[part](args, progress, results)
            except ValueError as error:
                sys.exit(f'benchmark.py: {error}')
        results.setdefault('seconds', {})[part] = round(time.time() - start)
        # Part by part: what took minutes is not lost with what follows.
        results['goals'] = [goal._asdict() for goal in report.goals(results)]
        args.out.write_text(json.dumps(results, indent=1) + '\n')
    for table in report.tables(results):
        console.print(table)
    console.print(f'wrote {args.out}')


if __name__ == '__main__':
    main()
