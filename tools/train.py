"""Train a config of MMDetection, MMSegmentation or any MMEngine project."""
from __future__ import annotations

import argparse
import os
import os.path as osp
import pickle
from pathlib import Path
from typing import Sequence

from command_line.agents import ROUND
from command_line.building import named_field
from command_line.configs import Options, load_config, samples_per_gpu
from command_line.mixed_precision import use_mixed_precision
from command_line.preflight import (
    check_data,
    check_work_dir,
    check_wrapper,
)
from command_line.ranks import check_master
from command_line.refusals import one_line
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from report import check_plotly, read_runs, write_report

from agvm_mm.compat.checkpoint import (
    allow_mmengine_checkpoints,
    check_checkpoint,
    force_safe_loading,
    refusal,
)
from agvm_mm.compat.ranks import rank_of
from agvm_mm.cpu import wrap_on_cpus
from agvm_mm.engine.runner import check_strategy
from agvm_mm.large_batch import find_samples, resolve_here
from agvm_mm.large_batch.settings import with_agvm
from agvm_mm.recovery.parent import end_with_launcher
from agvm_mm.recovery.resumable import check_resume
from agvm_mm.recovery.resuming import settle_elastic_resume, settle_resume


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments of mmdet's own tools/train.py, and two more."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'config',
        help="config file, or the name of a package's, as "
        'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py')
    parser.add_argument(
        '--work-dir',
        help='folder for logs and checkpoints (default: '
        'work_dirs/<config name>)')
    parser.add_argument(
        '--amp',
        action='store_true',
        help='train with automatic mixed precision')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the batch, as auto_scale_lr of the '
        'config says; not beside total_batch_size')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from a checkpoint, or from the latest in the work dir')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=Options,
        metavar='KEY=VALUE',
        help='change settings of the config, as optim_wrapper.agvm.interval=5')
    parser.add_argument(
        '--samples-per-gpu',
        type=samples_per_gpu,
        metavar='M',
        help='the most samples that a process takes at once, or auto to find '
        'that before training; the total batch is kept by accumulation '
        '(default: max_samples_per_gpu of the config)')
    parser.add_argument(
        '--report',
        action='store_true',
        help='write report.html into the work dir when the training is over, '
        'as tools/report.py does')
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how the processes were started (default: none)')
    # torch.distributed.launch passes it; others set variables instead.
    parser.add_argument(
        '--local_rank',
        '--local-rank',
        type=int,
        default=rank_of('LOCAL_RANK'),
        help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def read_config(args: argparse.Namespace) -> Config:
    """The config, with what the command line says of it.

    Raises:
        ValueError: If the config has no place for an argument.
    """
    cfg = load_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        name = osp.splitext(osp.basename(args.config))[0]
        cfg.work_dir = osp.join('work_dirs', name)
    if args.amp:
        use_mixed_precision(cfg)
    if args.auto_scale_lr:
        if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
            raise ValueError(
                '--auto-scale-lr needs the batch that lr is of: set '
                'auto_scale_lr=dict(base_batch_size=16) in the config')
        cfg.auto_scale_lr.enable = True
    if args.resume not in (None, 'auto'):
        cfg.resume = True
        cfg.load_from = args.resume
    if args.samples_per_gpu is not None:
        cfg.max_samples_per_gpu = args.samples_per_gpu
    wrap_on_cpus(cfg)
    return cfg


def checkpoint_of(cfg: Config) -> str | None:
    """The checkpoint that training is told to begin with, if any."""
    if (isinstance(cfg.get('resume'), str)
            and 'Flexible' in str(cfg.get('runner_type'))):
        return cfg.resume  # A path, for that runner alone.
    return cfg.get('load_from')


def report(runner: Runner) -> None:
    """Write the report of a training that is over, on the first rank.

    Args:
        runner (Runner or FlexibleRunner): That trained.
    """
    if not is_main_process():
        return
    work_dir = Path(runner.work_dir)
    out = work_dir / 'report.html'
    try:
        write_report(read_runs([work_dir]), out)
    except (OSError, ValueError) as error:
        # As without LocalVisBackend. What was trained is saved.
        runner.logger.warning(f'No report was written: {error}')
    else:
        runner.logger.info(f'The report of this run is {out}')


def main(argv: Sequence[str] | None = None) -> None:
    """Train.

    Args:
        argv (Sequence[str], optional): The command line. Defaults to None,
            that of the process.
    """
    args = parse_args(argv)
    end_with_launcher()
    with one_line('train.py'):
        force_safe_loading()
        allow_mmengine_checkpoints()
        if args.report:
            check_plotly()
        cfg = read_config(args)
        # With nothing to go on from yet, it begins as its config says.
        told = cfg.get('resume', False), cfg.get('load_from')
        if args.resume == 'auto':
            cfg.resume, cfg.load_from = True, None
        check_master(args.launcher)
        check_data(cfg, args.config)
        check_strategy(cfg)
        check_work_dir(cfg.work_dir)
        times_formed = os.environ.get(ROUND)  # Of a run that is elastic.
        formed_before = times_formed not in (None, '0')
        # Or what it began with, which may be gone.
        checkpoint = None if formed_before else checkpoint_of(cfg)
        if checkpoint is not None:
            check_checkpoint(checkpoint)
            if cfg.get('resume'):
                check_resume(checkpoint, with_agvm(cfg))
        found = None
        if (cfg.get('total_batch_size') is not None
                or args.samples_per_gpu is not None):
            # Under any runner, and refused before it is built.
            cfg, found = find_samples(cfg, args.launcher)
            cfg = resolve_here(cfg, args.launcher)
        check_wrapper(cfg, args.launcher)
        try:
            with named_field(cfg):
                runner = RUNNERS.build(cfg)
            if found is not None:
                print_log(found, 'current')
            # MMEngine's own runners would take what last_checkpoint says.
            if times_formed is None:
                settle_resume(runner)
            else:
                settle_elastic_resume(runner, formed_before)
            if runner._load_from is None and told[1] is not None:
                runner._resume, runner._load_from = told
            if checkpoint is None and runner._load_from:
                check_checkpoint(runner._load_from)
                if runner._resume:
                    check_resume(runner._load_from, with_agvm(cfg))
            with named_field(cfg):
                runner.train()
            if args.report:
                report(runner)
        except pickle.UnpicklingError as error:
            # Of a checkpoint that only the model knew, as a backbone's.
            if 'Weights only load failed' not in str(error):
                raise
            raise ValueError(refusal(error)) from error


if __name__ == '__main__':
    main()
