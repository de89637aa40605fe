"""Print what a config will run on a number of GPUs, and refuse what cannot.

Without a GPU; and without the data, if num_train_images or max_iters is set.
With --from, a run's logged noise scales say which batches are worth running.
With --at, the lines are printed that take the config to another total batch.
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Sequence

from command_line.building import named_field
from command_line.configs import Options, load_config, samples_per_gpu
from command_line.console import new_console
from command_line.outputs import writing
from command_line.refusals import one_line, raised_by_us
from mmengine.config import Config
from plans.agvm import agvm_options, measured_updates
from plans.doubts import doubts
from plans.lines import lines_of
from plans.memory import OF_MICRO_BATCH, describe_memory
from plans.noise import noise_table
from rich.console import Console
from rich.table import Table

from agvm_mm.engine.runner import check_strategy
from agvm_mm.large_batch import at_batch, linear_lr, square_root_lr
from agvm_mm.large_batch.another_batch import stated_batch, with_runner
from agvm_mm.large_batch.micro_batches import described
from agvm_mm.large_batch.optimizer_rules import RULES
from agvm_mm.large_batch.plan import (
    Plan,
    drops,
    learning_rates,
    make_plan,
    num_train_images,
)
from agvm_mm.large_batch.probe.silence import silently
from agvm_mm.large_batch.settings import (
    finds_samples,
    type_name,
    wrappers_of,
)

FOUND_LATER = (
    "max_samples_per_gpu='auto': what a GPU takes at once is found when the "
    'training starts. This plan has the fewest micro-batches, so the fewest '
    'replicas; updates and learning rates are those of any number')


def describe(cfg: Config,
             plan: Plan,
             name: str | None = None) -> list[tuple[str, str]]:
    """Name and value of each line of a plan.

    Args:
        cfg (Config): The config.
        plan (Plan): Its plan.
        name (str, optional): See :func:`agvm_options`.
    """
    total = plan.total_batch_size
    rates = learning_rates(cfg, plan, name)
    wrapper = wrappers_of(cfg)[name]
    peak = max(rates)
    falls = [f'{rates[u]:.4g} at update {u:,}' for u in drops(rates)]
    updates = f'{plan.updates:,}'
    if plan.epochs is not None:
        updates += (f' = {plan.epochs} epochs x {plan.updates_per_epoch:,} '
                    '(rounded up to whole updates)')
    else:
        updates += f'; {_of_an_epoch(cfg, plan)}'
    other = [
        f'{batch:,}: {square_root_lr(peak, total, batch):.4g} or '
        f'{linear_lr(peak, total, batch):.4g}'
        for batch in (total // 2, total * 2) if batch
    ]
    lines = [
        ('total batch', f'{total:,} = ' + described(
            total, plan.world_size, plan.samples_per_gpu,
            ('GPU', 'GPUs'), 'images')),
        ('updates', updates),
        ('images seen', f'{plan.images_seen:,}'),
        ('learning rate', f'{peak:.4g}, {type_name(wrapper["optimizer"])}'),
        ('warm-up', f'{rates.index(peak):,} updates, from {rates[0]:.4g}'),
        ('afterwards', ', '.join([*falls, f'{rates[-1]:.4g} at the end'])),
        ('at other batches', f'{"; ".join(other)} (square-root or linear '
         'rule)'),
    ]
    options = agvm_options(cfg, plan, name)
    if options is None:
        return [*lines, ('AGVM', 'none')]
    auto = wrapper['agvm'].get('begin', 'auto') == 'auto'
    begin = f'{options["begin"]:,} on' + (
        ' (the end of the warm-up + 100)' if auto else '')
    return [
        *lines,
        ('AGVM', f'from update {begin}, measures one in '
         f'{options["interval"]}: {measured_updates(plan, options):,} times'),
        ('replicas', f'{plan.num_replicas:,}'),
    ]


def _of_an_epoch(cfg: Config, plan: Plan) -> str:
    """The updates of an epoch, where the training counts iterations."""
    try:
        with silently():
            images = num_train_images(cfg)
    except Exception as error:
        if raised_by_us(error) and isinstance(error, ValueError):
            raise  # The data are there, and not one image fits.
        # Whatever a data set raises that is not there: the plan stands.
        return 'those of an epoch are not known: set num_train_images'
    per_epoch = images / plan.total_batch_size
    return (f'an epoch of {images:,} images is {_short(per_epoch)} updates: '
            f'{_short(plan.updates / per_epoch)} epochs in all')


def _short(count: float) -> str:
    return f'{count:,.0f}' if count >= 100 else f'{count:.3g}'


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and print.

    Args:
        argv (Sequence[str], optional): The command line. Defaults to None,
            that of the process.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        'config',
        help="config file, or the name of a package's, as "
        'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py')
    parser.add_argument(
        '--gpus',
        type=int,
        help='processes of the run; needed, but for --at')
    parser.add_argument(
        '--samples-per-gpu',
        type=samples_per_gpu,
        metavar='M',
        help='the most samples that a GPU takes at once, or auto\n'
        '(default: max_samples_per_gpu of the config)')
    parser.add_argument(
        '--from',
        dest='work_dir',
        type=Path,
        metavar='WORK_DIR',
        help='a run with AGVM whose noise scales to read')
    parser.add_argument(
        '--at',
        type=int,
        metavar='BATCH',
        help='print the config of another total batch')
    parser.add_argument(
        '--rule',
        choices=list(RULES),
        help='of the learning rate with --at (default: that of the optimizer)')
    parser.add_argument(
        '--out',
        type=Path,
        metavar='FILE',
        help='write the config of --at there, in place of printing it')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=Options,
        metavar='KEY=VALUE',
        help='change settings of the config, as total_batch_size=768')
    args = parser.parse_args(argv)
    console = new_console()
    with one_line('plan.py'):
        _check(args)
        cfg = load_config(args.config, args.cfg_options)
        if args.samples_per_gpu is not None:
            cfg.max_samples_per_gpu = args.samples_per_gpu
        if args.at is not None:
            with named_field(cfg):
                cfg = _another_batch(cfg, args)
        if args.gpus is not None:
            with named_field(cfg):
                _print_plan(console, cfg, args)


def _check(args: argparse.Namespace) -> None:
    """Refuse flags that do not go together."""
    if args.at is None:
        for flag, value in (('--rule', args.rule), ('--out', args.out)):
            if value is not None:
                raise ValueError(f'{flag} {value} is of --at: name the total '
                                 'batch too, as --at 1024')
    if args.out is not None and args.out.suffix != '.py':
        raise ValueError(f'--out {args.out}: a config is a .py file')
    if args.gpus is None and (args.at is None or args.work_dir):
        raise ValueError('--gpus is not set: name the processes of the run, '
                         'as --gpus 8')


def _another_batch(cfg: Config, args: argparse.Namespace) -> Config:
    """The config of ``--at``, once its lines are told."""
    batch = stated_batch(cfg)
    cfg, remarks = at_batch(cfg, args.at, args.rule)
    head = (f'{Path(args.config).name} at {args.at:,} samples an update, '
            f'{args.at / batch:.4g} times its {batch:,}.')
    text = lines_of(args.config, load_config(args.config), with_runner(cfg),
                    args.out, [head, *remarks])
    if args.out is None:
        sys.stdout.write(text)
    else:
        with writing(args.out):
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.write_text(text, encoding='utf-8')
    return cfg


def _print_plan(console: Console, cfg: Config,
                args: argparse.Namespace) -> None:
    found_later = finds_samples(cfg)
    if found_later:
        cfg.max_samples_per_gpu = cfg.get('total_batch_size')
    check_strategy(cfg)
    plan = make_plan(cfg, args.gpus)
    memory = [
        line for line in describe_memory(cfg, plan)
        if not (found_later and line[0] == OF_MICRO_BATCH)
    ]
    for name in wrappers_of(cfg):
        title = Path(args.config).stem
        console.print(title if name is None else f'{title}: {name}')
        table = Table(box=None, show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(overflow='fold')
        for line in [*describe(cfg, plan, name), *memory]:
            table.add_row(*line)
        console.print(table)
    if args.work_dir is not None:
        noise, verdict = noise_table(args.work_dir, plan)
        console.print(f'noise scales of {args.work_dir}, medians of its '
                      'second half')
        console.print(noise)
        console.print(verdict)
    if found_later:
        console.print(FOUND_LATER)
    for doubt in doubts(cfg, plan):
        console.print(doubt)


if __name__ == '__main__':
    main()
