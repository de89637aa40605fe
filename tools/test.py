"""Test a checkpoint of MMDetection, MMSegmentation or any MMEngine project."""
from __future__ import annotations

import argparse
import os
import os.path as osp
import pickle
from typing import Sequence

from command_line.building import named_field
from command_line.configs import Options, load_config
from command_line.preflight import TEST, check_data, check_work_dir
from command_line.ranks import check_master
from command_line.refusals import one_line
from mmengine.config import Config
from mmengine.evaluator import DumpResults
from mmengine.registry import RUNNERS

from agvm_mm.compat.checkpoint import (
    allow_mmengine_checkpoints,
    check_checkpoint,
    force_safe_loading,
    refusal,
)
from agvm_mm.compat.ranks import rank_of
from agvm_mm.compat.shards import let_runners_load
from agvm_mm.cpu import wrap_on_cpus
from agvm_mm.large_batch.settings import type_name


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments of mmdet's own tools/test.py, but those that draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'config',
        help="config file, or the name of a package's, as "
        'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py')
    parser.add_argument(
        'checkpoint', help='checkpoint file, or folder of shards')
    parser.add_argument(
        '--work-dir',
        help='folder for logs and metrics (default: work_dirs/<config name>)')
    parser.add_argument(
        '--out', metavar='PKL', help='file to dump the predictions to')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=Options,
        metavar='KEY=VALUE',
        help='change settings of the config')
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
    if args.out and not args.out.endswith(('.pkl', '.pickle')):
        parser.error(f'--out {args.out}: the file must be a .pkl or .pickle')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def without_fsdp(cfg: Config) -> None:
    """Let each process hold the whole model, which FSDP would shard.

    Args:
        cfg (Config): It is changed, if it is of a training under FSDP.
    """
    if 'FSDP' in type_name(cfg.get('strategy')):
        cfg.pop('strategy')
        cfg.runner_type = 'TotalBatchRunner'


def main(argv: Sequence[str] | None = None) -> None:
    """Test.

    Args:
        argv (Sequence[str], optional): The command line. Defaults to None,
            that of the process.
    """
    args = parse_args(argv)
    allow_mmengine_checkpoints()
    with one_line('test.py'):
        force_safe_loading()
        check_checkpoint(args.checkpoint)
        cfg = load_config(args.config, args.cfg_options)
        cfg.launcher = args.launcher
        wrap_on_cpus(cfg)
        check_master(args.launcher)
        if args.work_dir:
            cfg.work_dir = args.work_dir
        elif cfg.get('work_dir') is None:
            name = osp.splitext(osp.basename(args.config))[0]
            cfg.work_dir = osp.join('work_dirs', name)
        check_data(cfg, args.config, TEST)
        check_work_dir(cfg.work_dir)
        cfg.load_from = args.checkpoint
        cfg.resume = False  # As a run dumps it that was resumed.
        without_fsdp(cfg)
        if osp.isdir(args.checkpoint):
            let_runners_load(args.checkpoint)

        try:
            with named_field(cfg):
                runner = RUNNERS.build(cfg)
                if args.out:
                    runner.test_evaluator.metrics.append(
                        DumpResults(out_file_path=args.out))
                runner.test()
        except pickle.UnpicklingError as error:
            # Of a checkpoint that only the model knew, as a backbone's.
            if 'Weights only load failed' not in str(error):
                raise
            raise ValueError(refusal(error)) from error


if __name__ == '__main__':
    main()
