"""Keeps as much of the logged values as a log line needs.

MMEngine keeps up to a million values of each scalar, copies them all with
each new one, and saves them in every checkpoint.
"""
from __future__ import annotations

from mmengine.runner import Runner

KEPT = 1000


def bound_history(runner: Runner) -> None:
    """Drop the oldest of the logged values, now and from now on.

    Kept are what the windows of the run's log processor take, and no less than
    1,000 values of a scalar; of one with a 'global' window all.

    Args:
        runner (Runner or FlexibleRunner): In its training.
    """
    processor = runner.log_processor
    windows: dict[str, list[int | str]] = {}
    for settings in getattr(processor, 'custom_cfg', []):
        windows.setdefault(settings['data_src'], []).append(
            settings.get('window_size') or 'global')
    for key, buffer in runner.message_hub.log_scalars.items():
        mode, _, name = key.partition('/')
        wanted = [getattr(processor, 'window_size', 0), *windows.get(name, [])]
        if mode != 'train' or 'epoch' in wanted:
            # MMEngine's own lines of a validation are of all of it.
            wanted.append(_length(runner, mode))
        if 'global' in wanted:
            continue
        buffer.max_length = max(
            [KEPT, *(size for size in wanted if isinstance(size, int))])
        for values in ('_log_history', '_count_history'):
            kept = getattr(buffer, values)[-buffer.max_length:]
            setattr(buffer, values, kept.copy())


def _length(runner: Runner, mode: str) -> int | str:
    """The iterations of an epoch; 'global' where nobody knows."""
    loop = runner.train_loop if mode == 'train' else runner.val_loop
    try:
        return len(getattr(loop, 'dataloader', ()))
    except TypeError:
        return 'global'
