"""Measure what AGVM costs, and what its parameter groups save.

overhead   AGVM's own time, messages and memory in the training of real models
step       an optimizer's step with paramwise_cfg: MMEngine's groups and ours
recovery   what seeds, questions and safe writing cost, after overhead
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
from benchmarks import (
    estimator,
    log_line,
    options,
    overhead,
    recovery,
    report,
    scale,
    step,
)
from benchmarks.training import PIPELINES, QUICK
from command_line.console import new_console

PARTS = ('overhead', 'step', 'recovery', 'estimator', 'scale')

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


def run_recovery(args: argparse.Namespace, progress: Progress,
                 results: dict) -> dict:
    """See :mod:`benchmarks.recovery`.

    Raises:
        ValueError: If nothing was measured yet.
    """
    found = {}
    for name, one in _measured(results).items():
        progress(name)
        found[name] = recovery.measure(
            {
                **PIPELINES,
                **QUICK
            }[name],
            ranks=args.ranks,
            repetitions=args.checkpoints,
            folder=args.out.resolve().parent,
            iteration=one['iteration_seconds']['plain']['median'])
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
    network = scale.Network(args.base, args.alpha, args.bandwidth,
                            args.iteration)
    shares = {
        name: scale.predict(found, network, args.interval)
        for name, found in _measured(results).items()
    }
    name = next(iter(shares))
    scale.plot(shares[name],
               f'AGVM at interval {args.interval}, {name}: a model',
               args.out.with_suffix('.png'))
    return dict(
        network=network._asdict(), interval=args.interval, shares=shares)


def _measured(results: dict) -> dict[str, dict]:
    """What overhead found, by pipeline."""
    if 'overhead' not in results:
        raise ValueError('there is no overhead to go by: run '
                         '"benchmark.py overhead" with the same --out first')
    return {
        name: found
        for name, found in results['overhead'].items() if name != 'log_line'
    }


def read_out(path: Path) -> dict:
    """What earlier parts found.

    Args:
        path (Path): Of ``--out``; it may not be there yet.

    Raises:
        ValueError: If it is no file of ours.
    """
    if not path.exists():
        return {}
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f'{path} is no JSON ({error}): remove it, or name '
                         'another file with --out') from error


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


def main(argv: Sequence[str] | None = None) -> None:
    """Run the parts, write what they found and show it.

    Args:
        argv (Sequence[str], optional): Instead of the command line.
    """
    args = options.parse_args(__doc__, PARTS, argv)
    try:
        options.check(args)
        results = read_out(args.out)
    except ValueError as error:
        sys.exit(f'benchmark.py: {error}')
    console = new_console()
    results['machine'] = machine()
    runners = dict(
        overhead=run_overhead,
        step=run_step,
        recovery=run_recovery,
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
