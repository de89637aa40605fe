"""The config of a run: what all have in common, and those of epochs."""
from __future__ import annotations

from typing import Any

from mmengine.config import Config, ConfigDict

from agvm_mm.large_batch import updates_per_epoch

from .horizon_config import with_horizon
from .processes import ROOT
from .runs import Run

IMPORTS = ('agvm_mm', 'agvm_mm.cpu', 'agvm_mm.optimizers',
           'studies.agvm_variants')
# What names the split of the data that a run is judged on.
SPLIT_KEYS = ('ann_file', 'data_prefix', 'seg_prefix')


def build_config(study: Config, run: Run) -> Config:
    """The whole config of a run.

    Args:
        study (Config): The study.
        run (Run): One of its runs.
    """
    pipeline = study.pipelines[run.pipeline]
    cfg = Config.fromfile(ROOT / pipeline.config)
    cfg.merge_from_dict(pipeline.get('set', {}))
    method = study.methods[run.method].to_dict()
    cfg.optim_wrapper = ConfigDict(method)
    cfg.optim_wrapper.optimizer.lr = run.lr
    cfg.optim_wrapper.clip_grad = study.clip_grad
    named = cfg.get('custom_imports', {}).get('imports', [])
    cfg.custom_imports = dict(
        imports=list(dict.fromkeys([*named, *IMPORTS])),
        allow_failed_imports=False)
    cfg.total_batch_size = run.batch
    # AGVM needs two micro-batches, so every method has them.
    cfg.max_samples_per_gpu = min(study.max_samples_per_gpu, run.batch // 2)
    if 'agvm' in cfg.optim_wrapper:
        cfg.optim_wrapper.agvm.update(pipeline.get('agvm', {}))

    root = f'{study.data.root}/'
    cfg.train_dataloader.sampler = dict(type='DefaultSampler', shuffle=True)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.data_root = root
        loader.dataset.pipeline = _resized(loader.dataset.pipeline,
                                           study.data.size)
    cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
    # A loss that is no number ends the run: it has diverged.
    cfg.custom_hooks.append(
        dict(type='mmdet.CheckInvalidLossHook', interval=1))
    cfg.randomness = dict(seed=run.seed)
    if run.updates is None:
        _with_epochs(cfg, study, run)
        _judge(cfg.val_dataloader, cfg.val_evaluator, root, run.split)
    else:
        with_horizon(cfg, study, run)
        _judge(cfg.val_dataloader, cfg.val_evaluator, root, 'val')
        if run.split == 'test':
            _judge(cfg.test_dataloader, cfg.test_evaluator, root, 'test')
    cfg.merge_from_dict(run.set)
    return cfg


def _with_epochs(cfg: Config, study: Config, run: Run) -> None:
    """As many epochs as the study says, whatever the batch."""
    updates = updates_per_epoch(study.data.num_train, run.batch)
    warmup = round(study.warmup_epochs * updates)
    interval = max(1, round(updates * study.epochs / study.measurements))
    cfg.train_cfg = dict(
        type='EpochBasedTrainLoop',
        max_epochs=study.epochs,
        val_interval=study.val_interval)
    cfg.param_scheduler = [
        dict(
            type='LinearLR',
            start_factor=0.01,
            by_epoch=False,
            begin=0,
            end=warmup),
        dict(
            type='MultiStepLR',
            by_epoch=True,
            milestones=list(study.milestones),
            gamma=0.1),
    ]
    if 'agvm' in cfg.optim_wrapper:
        # The paper begins when the warm-up has settled.
        cfg.optim_wrapper.agvm.begin = warmup + round(
            study.settling_epochs * updates)
        cfg.optim_wrapper.agvm.interval = interval
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook', interval=10**6, save_last=False)
    cfg.default_hooks.logger = dict(type='LoggerHook', interval=interval)
    cfg.log_processor = dict(type='LogProcessor', by_epoch=True)


def _resized(steps: list[dict], size: int | list[int]) -> list[dict]:
    """A pipeline of transforms at the study's width and height."""
    scale = (size, size) if isinstance(size, int) else tuple(size)
    resized = []
    for step in steps:
        step = dict(step)
        if step['type'] == 'Resize':
            step['scale'] = scale
        if 'transforms' in step:  # It holds others.
            step['transforms'] = _resized(step['transforms'], size)
        resized.append(step)
    return resized


def _judge(loader: ConfigDict, evaluator: ConfigDict, root: str,
           split: str) -> None:
    """Let a loop read a split of the study's data."""
    for settings in (loader.dataset, evaluator):
        for key in SPLIT_KEYS:
            if settings.get(key) is not None:
                settings[key] = _moved(settings[key], root, split)


def _moved(value: Any, root: str, split: str) -> Any:
    """A path, or a dict of them, in the study's data and split."""
    if isinstance(value, dict):
        return {k: _moved(v, root, split) for k, v in value.items()}
    return value.replace('val', split).replace('data/digits/', root)
