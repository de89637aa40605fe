"""Reads what a run logged."""
from __future__ import annotations

import json
import math
import re
from pathlib import Path

from mmengine.config import Config

from agvm_mm.large_batch.settings import wrappers_of

HIERARCHY = re.compile('^(train|val|test)/')
# What MMEngine's runners say in a text log.
RESUMED = re.compile(r'resumed epoch: \d+, iter: (\d+)')


def read_rows(work_dir: Path) -> list[dict]:
    """Read all rows of a work dir, in the order of updates.

    A resumed run writes a log of its own, so rows of earlier logs are taken up
    to where the next one went on, as its text log tells, or to its first row
    if there is none. Logs before a run that began anew are another run's. The
    iterations of a log may be other parts of an update than those before it,
    as on another number of processes.

    Args:
        work_dir (Path): Where a runner logged, with LocalVisBackend.

    Returns:
        list[dict]: Rows of the JSON log, those of training with a 'loss',
        those of validation without. Each has the parameter updates that were
        done as its 'update', and the iterations of an update as its
        'micro_batches'. Names begin with no 'train/' or 'val/', which a log
        processor with ``log_with_hierarchy`` writes.

    Raises:
        ValueError: If there is no log.
    """
    logs = sorted(work_dir.glob('*/vis_data/scalars.json'), reverse=True)
    if not logs:
        raise ValueError(f'{work_dir} holds no */vis_data/scalars.json: name '
                         'the --work-dir of a training run')
    rows: list[dict] = []
    first = math.inf
    for log in logs:
        texts = [path.read_text(errors='replace')
                 for path in log.parents[1].glob('*.log')]
        resumed = RESUMED.search('\n'.join(texts))
        own = _rows_of(log, int(resumed[1]) if resumed else 0)
        trained = [row for row in own if 'loss' in row]
        if not trained:  # a test alone
            continue
        rows = [row for row in own if row['update'] < first] + rows
        if texts and not resumed:
            break
        begun = trained[0]['update']
        if resumed:
            begun = int(resumed[1]) // trained[0]['micro_batches'] + 1
        first = min(first, begun)
    return rows


def _rows_of(log: Path, begun: int) -> list[dict]:
    """The rows of one log, of a run that began after so many iterations."""
    cfg = dumped_config(log)
    iterations = micro_batches_of(cfg)
    by_iteration = 'max_iters' in (cfg.get('train_cfg') or {})
    rows: list[dict] = []
    update = begun // iterations
    for line in log.read_text().splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:  # cut off, as by a kill
            continue
        row = {HIERARCHY.sub('', key): value for key, value in row.items()}
        # The step of a validation may be an epoch, which is 0 in a run by
        # iterations unless its LoggerHook has log_metric_by_epoch=False.
        if 'loss' in row or (by_iteration and row.get('step')):
            update = math.ceil(row['step'] / iterations)
        rows.append(dict(row, update=update, micro_batches=iterations))
    return rows


def read_log(work_dir: Path) -> list[dict]:
    """Read the training rows of a work dir that hold AGVM's scalars.

    Args:
        work_dir (Path): See :func:`read_rows`.

    Returns:
        list[dict]: Of :func:`read_rows`.

    Raises:
        ValueError: If there is no log, or no AGVM in it, or nothing that it
            could measure.
    """
    rows = [
        row for row in read_rows(work_dir)
        if 'loss' in row and any(k.startswith('agvm/') for k in row)
    ]
    if not rows:
        raise ValueError(f'{work_dir} holds no agvm/ scalars: the run used no '
                         'AGVMOptimWrapper, or ended before agvm.begin')
    if not modules_of(rows):
        raise ValueError(f'{work_dir} holds no agvm/variance: none of the '
                         'measurements that were due could be taken; after '
                         'ten in a row its text log tells why')
    return rows


def dumped_config(log: Path) -> Config:
    """The config that MMEngine dumps beside a log; empty if it did not.

    Args:
        log (Path): The JSON log.

    Raises:
        ValueError: If it is damaged.
    """
    path = log.with_name('config.py')
    if not path.is_file():
        return Config()
    try:
        return Config.fromfile(path, import_custom_modules=False)
    except Exception as error:
        # A program: whatever its lines raise, as an inf that was dumped.
        told = error.msg if isinstance(error, SyntaxError) else error
        raise ValueError(
            f'{path} is no config ({told}): put that of the run there, '
            'or remove it, and iterations are taken for updates') from error


def micro_batches_of(cfg: Config) -> int:
    """Iterations of one update.

    Args:
        cfg (Config): From :func:`dumped_config`.
    """
    return max((wrapper.get('accumulative_counts', 1)
                for wrapper in wrappers_of(cfg).values()),
               default=1)


def modules_of(rows: list[dict]) -> list[str]:
    """The modules that were measured, in the order of the log.

    Args:
        rows (list[dict]): From :func:`read_log`.
    """
    prefix = 'agvm/variance/'
    return list(
        dict.fromkeys(key[len(prefix):] for row in rows for key in row
                      if key.startswith(prefix)))
