"""Writes a checkpoint without what its weights do not need."""
from __future__ import annotations

import hashlib
import logging
import pickle
import re
from pathlib import Path
from typing import Sequence

from mmengine.runner import save_checkpoint

from .files import begun, drop, put_in_place


def publish(path: Path, keys: Sequence[str], logger: logging.Logger) -> None:
    """Write parts of a checkpoint beside it, named by their digest.

    Where it cannot be written, one line tells so. One that is published
    already is left alone: its digest would be another one each time.

    Args:
        path (Path): Of the checkpoint, a file or a folder of shards.
        keys (Sequence[str]): Its parts that are kept.
        logger (logging.Logger): Of the run.
    """
    from agvm_mm.compat.shards import load_whole  # It is heavy.

    published = re.compile(re.escape(path.stem) + r'-[0-9a-f]{8}\.pth')
    written = path.stat().st_mtime_ns
    if any(
            published.fullmatch(other.name)
            and other.stat().st_mtime_ns >= written
            for other in path.parent.iterdir()):
        return
    whole = load_whole(path)
    kept = {k: whole[k] for k in whole if k in keys}
    sha = hashlib.sha256(pickle.dumps(kept)).hexdigest()
    target = path.with_name(f'{path.stem}-{sha[:8]}.pth')
    try:
        save_checkpoint(kept, str(begun(target)))
        put_in_place(target)
    except OSError as error:
        drop(begun(target))
        logger.warning(f'{path} was not published '
                       f'({error.strerror or error})')
        return
    logger.info(f'{path} is published to {target}')
