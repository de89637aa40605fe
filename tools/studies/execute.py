"""One run of a study: its config, its process, its result."""
from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from agvm_mm.large_batch import split_batch, updates_per_epoch

from .grid import Run
from .processes import CONFIGS, ROOT, Processes, commit, write_result

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
    cfg.custom_imports = dict(
        imports=['agvm_mm', 'agvm_mm.cpu', 'agvm_mm.optimizers'],
        allow_failed_imports=False)

    updates = updates_per_epoch(study.data.num_train, run.batch)
    warmup = round(study.warmup_epochs * updates)
    interval = max(1, round(updates * study.epochs / study.measurements))
    cfg.total_batch_size = run.batch
    # AGVM needs two micro-batches, so every method has them.
    cfg.max_samples_per_gpu = min(study.max_samples_per_gpu, run.batch // 2)
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
        cfg.optim_wrapper.agvm.update(pipeline.get('agvm', {}))
        # The paper begins when the warm-up has settled.
        cfg.optim_wrapper.agvm.begin = warmup + round(
            study.settling_epochs * updates)
        cfg.optim_wrapper.agvm.interval = interval

    root = f'{study.data.root}/'
    cfg.train_dataloader.sampler = dict(type='DefaultSampler', shuffle=True)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.data_root = root
        loader.dataset.pipeline = _resized(loader.dataset.pipeline,
                                           study.data.size)
    for settings in (cfg.val_dataloader.dataset, cfg.val_evaluator):
        for key in SPLIT_KEYS:
            if key in settings:
                settings[key] = _moved(settings[key], root, run.split)
    cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook', interval=10**6, save_last=False)
    cfg.default_hooks.logger = dict(type='LoggerHook', interval=interval)
    cfg.log_processor = dict(type='LogProcessor', by_epoch=True)
    # A loss that is no number ends the run: it has diverged.
    cfg.custom_hooks.append(
        dict(type='mmdet.CheckInvalidLossHook', interval=1))
    cfg.randomness = dict(seed=run.seed)
    cfg.merge_from_dict(run.set)
    return cfg


def _resized(steps: list[dict], size: int) -> list[dict]:
    return [
        dict(step, scale=(size, size)) if step['type'] == 'Resize' else step
        for step in steps
    ]


def _moved(value: Any, root: str, split: str) -> Any:
    """A path, or a dict of them, in the study's data and split."""
    if isinstance(value, dict):
        return {k: _moved(v, root, split) for k, v in value.items()}
    return value.replace('val', split).replace('data/digits/', root)


class Trainings(Processes):
    """Executes runs, each in a process of its own.

    Args:
        study (Config): The study.
        results (Path): Folder of the result files. A run's file is written
            when it is done, and not before.
        root (Path): Folder of the work dirs.
    """

    def __init__(self, study: Config, results: Path, root: Path) -> None:
        super().__init__()
        self.study = study
        self.results = results
        self.root = root

    def execute(self, run: Run) -> dict:
        """Train, and write what came of it.

        Args:
            run (Run): One of the study's runs.

        Returns:
            dict: The result.

        Raises:
            RuntimeError: If the training failed otherwise than by diverging.
        """
        work_dir = self.root / run.name
        shutil.rmtree(work_dir, ignore_errors=True)
        work_dir.mkdir(parents=True)
        with CONFIGS:
            cfg = build_config(self.study, run)
            cfg.dump(work_dir / 'run.py')
        start = time.time()
        code = self.train(work_dir)
        text = (work_dir / 'log.txt').read_text()
        diverged = code != 0 and 'infinite or NaN' in text
        if code != 0 and not diverged:
            raise RuntimeError(f'{run.name} failed, see {work_dir}/log.txt: '
                               f'{text.strip().splitlines()[-1]}')
        result = dict(
            name=run.name,
            run=asdict(run),
            commit=commit(),
            seconds=round(time.time() - start),
            diverged=diverged,
            epochs=cfg.train_cfg.max_epochs,
            updates_per_epoch=updates_per_epoch(self.study.data.num_train,
                                                run.batch),
            micro_batches=split_batch(run.batch, 1,
                                      cfg.max_samples_per_gpu)[1],
            **_read(work_dir, self.study.pipelines[run.pipeline]))
        if diverged:
            result['final'] = 0.0
        write_result(result, self.results)
        return result

    def told(self, result: dict) -> str:
        """What a run came to, in one line.

        Args:
            result (dict): Of :meth:`execute`.
        """
        return (f'{result["name"]}: {result["final"]:.3f} in '
                f'{result["seconds"]} s')


def _read(work_dir: Path, pipeline: ConfigDict) -> dict:
    """Metric by epoch and AGVM's scalars by iteration, from the JSON log."""
    metric = pipeline.metric
    log, = work_dir.glob('*/vis_data/scalars.json')
    metrics, scalars, loss = [], {}, []
    for row in map(json.loads, log.read_text().splitlines()):
        step = row['step']
        if 'loss' not in row:
            # A detector that finds nothing at all is given no metric.
            value = row.get(metric, 0.0) / pipeline.get('full_marks', 1)
            metrics.append([step, round(value, 4)])
            continue
        loss.append([step, round(row['loss'], 4)])
        for key, value in row.items():
            kind, _, module = key[len('agvm/'):].partition('/')
            if key.startswith('agvm/') and module:
                scalars.setdefault(kind, {}).setdefault(module, []).append(
                    [step, float(f'{value:.4g}')])
    return dict(
        metric=metrics,
        final=metrics[-1][1] if metrics else 0.0,
        loss=loss,
        agvm=scalars)
