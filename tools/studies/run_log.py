"""What a run came to, from its JSON logs."""
from __future__ import annotations

import json
from pathlib import Path

from mmengine.config import ConfigDict


def read_training(work_dir: Path,
                  pipeline: ConfigDict,
                  per_step: int = 1) -> dict:
    """A training's metric, loss and AGVM's scalars, by step.

    Args:
        work_dir (Path): Of the run.
        pipeline (ConfigDict): The study's, with its ``metric``.
        per_step (int): Iterations of one step of the result: 1 where the
            metric is by epoch and the others are by iteration, the
            micro-batches where all are by update. Defaults to 1.
    """
    metrics, scalars, loss = [], {}, []
    # One that diverges before the first line is logged has no file.
    lines = [
        line for log in work_dir.glob('*/vis_data/scalars.json')
        for line in log.read_text().splitlines()
    ]
    for row in map(json.loads, lines):
        step = row['step'] // per_step
        if 'loss' not in row:
            metrics.append([step, _metric(row, pipeline)])
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


def read_test(work_dir: Path, pipeline: ConfigDict) -> float:
    """The metric of a test.

    Args:
        work_dir (Path): That ``tools/test.py`` was given.
        pipeline (ConfigDict): The study's, with its ``metric``.
    """
    log, = work_dir.glob('*/*.json')
    return _metric(json.loads(log.read_text()), pipeline)


def _metric(row: dict, pipeline: ConfigDict) -> float:
    # A detector that finds nothing at all is given no metric.
    value = row.get(pipeline.metric, 0.0) / pipeline.get('full_marks', 1)
    return round(value, 4)
