"""The config of a run that has a horizon: a number of updates of its own."""
from __future__ import annotations

import copy
import math

from mmengine.config import Config

from .runs import Run


def with_horizon(cfg: Config, study: Config, run: Run) -> None:
    """Train for a run's updates, and log and validate as a protocol says.

    Everything counts updates: the runner turns it into iterations.

    Args:
        cfg (Config): What all runs have in common. It is changed.
        study (Config): With a protocol.
        run (Run): One of its runs. On the test split it saves its last
            checkpoint, and the config says how that is tested.
    """
    protocol, updates = study.protocol, run.updates
    warmup = max(1, round(protocol.warmup * updates))
    cfg.train_cfg = dict(
        type='IterBasedTrainLoop',
        max_iters=updates,
        val_interval=updates // protocol.validations)
    cfg.param_scheduler = [
        dict(
            type='LinearLR',
            start_factor=0.01,
            by_epoch=False,
            begin=0,
            end=warmup),
        dict(
            type='CosineAnnealingLR',
            by_epoch=False,
            begin=warmup,
            end=updates,
            eta_min_ratio=protocol.last_rate),
    ]
    if 'agvm' in cfg.optim_wrapper:
        cfg.optim_wrapper.agvm.begin = warmup + round(
            protocol.settling * updates)
        cfg.optim_wrapper.agvm.interval = max(1,
                                              updates // protocol.measurements)
    every = math.ceil(updates / protocol.points)
    cfg.default_hooks.logger = dict(
        type='LoggerHook', interval=every, log_metric_by_epoch=False)
    # Each point of the loss is the mean since the one before.
    cfg.log_processor = dict(
        type='LogProcessor', by_epoch=False, window_size=every)
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook',
        by_epoch=False,
        interval=10**6,
        save_last=run.split == 'test',
        save_optimizer=False,
        save_param_scheduler=False)
    if run.split == 'test':
        cfg.test_cfg = dict(type='TestLoop')
        cfg.test_dataloader = copy.deepcopy(cfg.val_dataloader)
        cfg.test_evaluator = copy.deepcopy(cfg.val_evaluator)
    if run.stop_at is not None:
        pipeline = study.pipelines[run.pipeline]
        cfg.custom_hooks.append(
            dict(
                type='EarlyStoppingHook',
                monitor=pipeline.metric,
                rule='greater',
                # The hook asks for more than it, and not for as much.
                stopping_threshold=run.stop_at * pipeline.get('full_marks', 1)
                - 1e-6,
                # It ends for no other reason.
                patience=protocol.validations + 1))
