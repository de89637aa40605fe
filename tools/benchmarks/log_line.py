"""What AGVM's scalars cost in a log line."""
from __future__ import annotations

import tempfile
import time
from pathlib import Path

from mmengine.config import Config
from mmengine.hooks import LoggerHook
from mmengine.runner import Runner

from agvm_mm.datasets import write_digits

from .stopwatch import summary

CONFIG = (
    Path(__file__).parents[2] /
    'configs/digits/faster-rcnn_r18_fpn_agvm_digits.py')
INTERVAL = 50  # iterations of a log line: mmdet's and mmseg's default
UPDATES = 4


def measure(*, repetitions: int) -> dict:
    """Log a real training's last line, with AGVM's scalars and without.

    Args:
        repetitions (int): Lines of each.

    Returns:
        dict: Seconds of a line, and of AGVM's share of it per iteration.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = write_digits(
            Path(folder) / 'digits', num_train=4 * UPDATES, num_val=1)
        cfg = Config.fromfile(CONFIG)
        cfg.work_dir = folder
        cfg.train_dataloader.batch_size = 2
        cfg.train_dataloader.dataset.data_root = str(root)
        cfg.optim_wrapper.accumulative_counts = 2
        cfg.optim_wrapper.agvm.update(begin=0, interval=1)
        cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
        cfg.default_hooks.logger.interval = 1
        cfg.custom_hooks = []  # not the batch that the config was made for
        cfg.log_level = 'ERROR'
        cfg.experiment_name = 'log_line'
        cfg.visualizer.name = 'log_line'
        runner = Runner.from_cfg(cfg)
        runner.train()
        runner.train_loop._iter -= 1
        hook = next(h for h in runner.hooks if isinstance(h, LoggerHook))
        scalars = runner.message_hub.log_scalars
        ours = {key: scalars[key] for key in scalars if '/agvm/' in key}
        seconds: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(repetitions + 1):
            for with_agvm, times in seconds.items():
                for key in ours:
                    scalars.pop(key, None)
                if with_agvm:
                    scalars.update(ours)
                start = time.perf_counter()
                hook.after_train_iter(runner, 0)
                times.append(time.perf_counter() - start)
    with_agvm, without = seconds[True][1:], seconds[False][1:]
    added = [a - b for a, b in zip(with_agvm, without)]
    return dict(
        scalars=len(ours),
        seconds_with=summary(with_agvm),
        seconds_without=summary(without),
        seconds_per_iteration=max(0.0,
                                  summary(added)['median']) / INTERVAL)
