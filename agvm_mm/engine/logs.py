"""Writes what AGVM measures into a run's log, and reads it back."""
from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Mapping

from mmengine.logging import MessageHub


def log_measurement(hub: MessageHub, name: str | None,
                    scalars: Mapping[str, float],
                    by_module: Mapping[str, Mapping[str, float]]) -> None:
    """Write one measurement, as ``train/agvm/<quantity>/<module>``.

    Args:
        hub (MessageHub): The run's.
        name (str, optional): Of the optimizer wrapper, if it is one of
            several: modules are then ``<name>.<module>``, and scalars
            ``train/agvm/<quantity>/<name>``.
        scalars (Mapping[str, float]): Values of the whole update by quantity,
            as ``train/agvm/<quantity>``.
        by_module (Mapping[str, Mapping[str, float]]): Values by quantity and
            module. Those that are not finite are left out.
    """
    for quantity, values in by_module.items():
        for module, value in values.items():
            if math.isfinite(value):
                own = f'{name}.{module}' if name else module
                hub.update_scalar(f'train/agvm/{quantity}/{own}', value)
    for quantity, value in scalars.items():
        own = f'{quantity}/{name}' if name else quantity
        hub.update_scalar(f'train/agvm/{own}', value)


def read_log(work_dir: Path) -> list[dict]:
    """Read the training rows of a work dir, in the order of iterations.

    A resumed run writes a log of its own, so rows of earlier logs are taken up
    to where the next one starts.

    Args:
        work_dir (Path): Where a runner logged, with LocalVisBackend.

    Returns:
        list[dict]: Rows of the JSON log that hold AGVM's scalars.

    Raises:
        ValueError: If there is no log, or no AGVM in it.
    """
    logs = sorted(work_dir.glob('*/vis_data/scalars.json'), reverse=True)
    if not logs:
        raise ValueError(f'{work_dir} holds no */vis_data/scalars.json: name '
                         'the --work-dir of a training run')
    rows: list[dict] = []
    for log in logs:
        lines = map(json.loads, log.read_text().splitlines())
        earlier = [
            row for row in lines
            if 'loss' in row and (not rows or row['step'] < rows[0]['step'])
        ]
        rows = earlier + rows
    rows = [row for row in rows if any(k.startswith('agvm/') for k in row)]
    if not rows:
        raise ValueError(f'{logs[0]} holds no agvm/ scalars: the run used no '
                         'AGVMOptimWrapper, or ended before agvm.begin')
    return rows


def modules_of(rows: list[dict]) -> list[str]:
    """The modules that were measured, in the order of the log.

    Args:
        rows (list[dict]): From :func:`read_log`.
    """
    prefix = 'agvm/variance/'
    return list(
        dict.fromkeys(key[len(prefix):] for row in rows for key in row
                      if key.startswith(prefix)))
