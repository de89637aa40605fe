"""Print what a config will run on a number of GPUs, and refuse what cannot.

Without a GPU and without the data: everything is worked out from the config.
With --from, a run's logged noise scales say which batches are worth running.
"""
from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Sequence

from command_line.configs import load_config, samples_per_gpu
from command_line.console import new_console
from command_line.refusals import one_line
from mmengine.config import Config, DictAction
from partitions.models import silently
from plans.memory import OF_MICRO_BATCH, describe_memory
from rich.table import Table

from agvm_mm.engine.logs import modules_of, read_log
from agvm_mm.engine.plan import agvm_options, doubts, measured_updates
from agvm_mm.large_batch import linear_lr, square_root_lr
from agvm_mm.large_batch.micro_batches import described
from agvm_mm.large_batch.plan import (
    Plan,
    drops,
    learning_rates,
    make_plan,
    num_train_images,
)
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
    except ValueError:  # the data are there, and not one image fits
        raise
    except Exception:
        # Whatever a data set raises that is not there: the plan stands.
        return 'those of an epoch are not known: set num_train_images'
    per_epoch = images / plan.total_batch_size
    return (f'an epoch of {images:,} images is {_short(per_epoch)} updates: '
            f'{_short(plan.updates / per_epoch)} epochs in all')


def _short(count: float) -> str:
    return f'{count:,.0f}' if count >= 100 else f'{count:.3g}'


def noise_table(work_dir: Path, plan: Plan) -> tuple[Table, str]:
    """What the noise scales of a run say of this plan's batch.

    McCandlish et al. (2018): at batch B a module whose noise scale is B_i
    makes 1 / (1 + B_i / B) of the progress that an update can make at most,
    and takes 1 + B / B_i times the images that it needs at least.

    Args:
        work_dir (Path): Of a run with AGVM.
        plan (Plan): Its batch is judged.

    Returns:
        tuple[Table, str]: A row for each module, and the range of total
        batches worth running.

    Raises:
        ValueError: If the run logged no noise scale.
    """
    rows = read_log(work_dir)
    rows = rows[len(rows) // 2:]
    table = Table()
    table.add_column('module', overflow='fold')
    for column in ('gains little beyond',
                   f'progress at {plan.total_batch_size:,}'):
        table.add_column(column, justify='right')
    scales = []
    for module in modules_of(rows):
        key = f'agvm/noise_scale/{module}'
        values = [row[key] for row in rows if key in row]
        if not values:
            table.add_row(module, 'no signal above the noise', '')
            continue
        scale = statistics.median(values)
        scales.append(scale)
        progress = 1 / (1 + scale / plan.total_batch_size)
        table.add_row(module, f'{scale:,.0f}', f'{progress:.0%}')
    if not scales:
        why = 'its second half never showed a signal above the noise'
        if any(row.get('agvm/num_samples') == 0 for row in rows):
            why = ("its model's inputs are of a kind whose samples AGVM "
                   'cannot count, as its log warns')
        raise ValueError(f'{work_dir} logged no agvm/noise_scale: {why}')
    # To whole samples of each process, or it could not run.
    low, high = (
        max(1, round(scale / plan.world_size)) * plan.world_size
        for scale in (min(scales), max(scales)))
    return table, (
        f'worth running on {plan.world_size} GPUs: total batches from {low:,} '
        f'(up to it every module gains) to {high:,} (beyond it none gains '
        'much)')


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
        '--gpus', type=int, required=True, help='processes of the run')
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
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='change settings of the config, as total_batch_size=768')
    args = parser.parse_args(argv)
    console = new_console()
    with one_line('plan.py'):
        cfg = load_config(args.config, args.cfg_options)
        if args.samples_per_gpu is not None:
            cfg.max_samples_per_gpu = args.samples_per_gpu
        found_later = finds_samples(cfg)
        if found_later:
            cfg.max_samples_per_gpu = cfg.get('total_batch_size')
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
        for name in wrappers_of(cfg):
            for doubt in doubts(cfg, plan, name):
                console.print(doubt)


if __name__ == '__main__':
    main()
