"""Reads what a run left in its work dir."""
from __future__ import annotations

from pathlib import Path
from typing import Sequence

from mmengine.config import Config

from .journal import read_journal
from .logs import dumped_config, micro_batches_of, read_rows
from .run import Run


def titled(work_dirs: Sequence[Path]) -> list[tuple[str, Path]]:
    """Runs, each by a name of its own.

    Args:
        work_dirs (Sequence[Path]): Of trainings.

    Returns:
        list[tuple[str, Path]]: The name of the folder, or its path if two
        share it, and the folder.
    """
    names = [work_dir.resolve().name for work_dir in work_dirs]
    found: dict[str, Path] = {}
    for work_dir, name in zip(work_dirs, names):
        path = str(work_dir)
        title = path if names.count(name) > 1 else name
        found[f'{title} again' if title in found else title] = work_dir
    return list(found.items())


def read_run(work_dir: Path, title: str) -> Run:
    """Read a run.

    Args:
        work_dir (Path): Of a training.
        title (str): What to call it.

    Raises:
        ValueError: If it holds no log of a training, or a damaged config.
    """
    rows = read_rows(work_dir)
    trained = [row for row in rows if 'loss' in row]
    if not trained:
        raise ValueError(f'{work_dir} holds no training: its logs have no row '
                         'with a loss; name the --work-dir of a run that '
                         'trained')
    configs = _configs(work_dir)
    journal = read_journal(work_dir, {
        name: micro_batches_of(cfg)
        for name, cfg in configs.items()
    })
    run = Run(title, trained, [], next(reversed(configs.values()), Config()),
              journal)
    run.metrics = [
        dict(row, update=_validated_at(row, run)) for row in rows
        if 'loss' not in row
    ]
    return run


def _configs(work_dir: Path) -> dict[str, Config]:
    """The configs that trained, by the folder of their log."""
    return {
        log.parents[1].name: dumped_config(log)
        for log in sorted(work_dir.glob('*/vis_data/scalars.json'))
        if 'loss"' in log.read_text()
    }


def _validated_at(row: dict, run: Run) -> int:
    """The updates that were done before a validation.

    MMEngine writes its epoch or its iteration; where it cannot be told which,
    the training row before it has an update close by.
    """
    hooks = run.config.get('default_hooks') or {}
    logger = hooks.get('logger') or {}
    if not logger.get('log_metric_by_epoch', True):
        return row['step'] // row['micro_batches']
    if run.epoch and 0 < row['step'] <= run.updates / run.epoch + 1:
        return round(row['step'] * run.epoch)
    return row['update']
