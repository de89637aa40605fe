"""Small real trainings that save, for what is tried on their checkpoints."""
from __future__ import annotations

import itertools

import torch
from mmengine.config import ConfigDict
from mmengine.registry import HOOKS, LOOPS, MODELS, RUNNERS
from mmengine.runner import BaseLoop

from agvm_mm.large_batch import resolve
from tests.test_large_batch.test_sampler import DoubleToyDetector, toy_config

_names = itertools.count()
# Of three validations: the best is the second's.
METRICS = [
    dict(acc=0.1, loss=3.0),
    dict(acc=0.3, loss=2.0),
    dict(acc=0.2, loss=1.0)
]


@MODELS.register_module()
class HeavyToyDetector(DoubleToyDetector):
    """With 160 kB that are not trained, so that a checkpoint is not small."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer('ballast',
                             torch.randn(20_000, dtype=torch.float64,
                                         generator=generator))  # yapf: disable


@LOOPS.register_module()
class ToldValLoop(BaseLoop):
    """Tells what it is told instead of what it measured."""

    def __init__(self, runner, dataloader, evaluator):
        super().__init__(runner, dataloader)

    def run(self):
        metrics = METRICS[self.runner.epoch - 1]
        self.runner.call_hook('before_val')
        self.runner.call_hook('before_val_epoch')
        self.runner.call_hook('after_val_epoch', metrics=dict(metrics))
        self.runner.call_hook('after_val')
        return metrics


def run_config(work_dir,
               runner_type='Runner',
               by_iteration=False,
               checkpoint=None,
               validates=False,
               processes=1,
               **settings):
    """21 images at batch 8, so 9 updates in 3 epochs, resolved."""
    cfg = toy_config(work_dir, by_iteration)
    cfg.model.type = 'HeavyToyDetector'
    cfg.runner_type = runner_type
    cfg.env_cfg = ConfigDict(dist_cfg=dict(backend='gloo'))
    cfg.experiment_name = f'recovery_{next(_names)}'
    cfg.default_hooks.checkpoint = ConfigDict({
        'type': 'CheckpointHook',
        'interval': 1,
        **(checkpoint or {})
    })
    if validates:
        cfg.val_dataloader = ConfigDict(
            batch_size=1,
            dataset=cfg.train_dataloader.dataset,
            sampler=dict(type='DefaultSampler', shuffle=False))
        cfg.val_evaluator = ConfigDict(type='Evaluator', metrics=[])
        cfg.val_cfg = ConfigDict(type='ToldValLoop')
    cfg.merge_from_dict(settings)
    return resolve(cfg, processes)


def train(work_dir, *hooks, **settings):
    """Train, and return the runner."""
    runner = RUNNERS.build(run_config(work_dir, **settings))
    for hook in hooks:
        runner.register_hook(hook)
    runner.train()
    return runner


def log_of(work_dir):
    """All lines of the newest run, from its first, the environment.

    MMEngine names a log by the second: two short runs can share one.
    """
    newest = max(
        work_dir.glob('*/*.log'), key=lambda path: path.stat().st_mtime)
    return newest.read_text().rpartition('System environment:')[2]


def files(folder):
    """The names in a folder, without that of the config."""
    return {
        path.name
        for path in folder.iterdir() if path.is_file() and path.suffix != '.py'
    }


def plain_hook(cfg):
    """A config with MMEngine's own hook."""
    assert cfg.default_hooks.checkpoint.type == 'SafeCheckpointHook'
    assert 'SafeCheckpointHook' in HOOKS.module_dict
    cfg.default_hooks.checkpoint.type = 'CheckpointHook'
    return cfg
