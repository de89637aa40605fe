"""Tells what a run can go on from."""
from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from agvm_mm.compat.checkpoint import load, refusal
from agvm_mm.compat.shard_files import is_of_another_library

# What MMEngine needs of a file to go on from it.
PARTS = {'meta', 'message_hub', 'state_dict', 'optimizer'}


def is_resumable(content: Any) -> bool:
    """Whether a run can go on from what a file holds, as not from weights.

    Args:
        content (object): From :func:`~agvm_mm.compat.checkpoint.load`.
    """
    return (isinstance(content, dict) and content.keys() >= PARTS
            and 'iter' in (content['meta'] or {}))


def lacks_optimizer(content: Any) -> bool:
    """Whether a run could go on from it, but for its optimizer.

    Args:
        content (object): See :func:`is_resumable`.
    """
    return (isinstance(content, dict) and 'optimizer' not in content
            and is_resumable(dict(content, optimizer=None)))


def check_resume(path: str | Path, with_agvm: bool) -> None:
    """Refuse a checkpoint that a run cannot go on from, before it is built.

    Args:
        path (str or Path): A local file, or a folder of shards; an address
            is left to the loader, and another library's folder to it.
        with_agvm (bool): Whether the run has an AGVM wrapper.

    Raises:
        ValueError: If the file holds weights alone; or if it was written with
            AGVM, and the run is without: torch would tell of other parameter
            groups.
    """
    path = Path(path).expanduser()
    if not path.exists() or (path.is_dir() and is_of_another_library(path)):
        return
    checkpoint = load(path)
    if not is_resumable(checkpoint):
        raise ValueError(
            f'checkpoint {path} holds weights alone, from which no run can go '
            'on. To begin with them set load_from and leave --resume out. To '
            'go on from the newest checkpoint of the work dir leave load_from '
            "out: mmseg's own --resume takes that of the config, so add "
            '--cfg-options load_from=None there')
    optimizer = checkpoint['optimizer']
    # Of several optimizers it is a dict of their states.
    states = [optimizer, *optimizer.values()]
    if not with_agvm and any(
            isinstance(s, dict) and 'agvm' in s for s in states):
        raise ValueError(
            f'checkpoint {path} was written with AGVM, whose optimizer has '
            'other groups than one without. To go on without AGVM keep it in '
            'the config and switch it off, with optim_wrapper.agvm.end=0; to '
            'take the weights alone, set load_from and leave --resume out')


def warn_if_unreadable(path: str | Path, logger: logging.Logger) -> None:
    """Warn of a run that could not be resumed, while it is young.

    Args:
        path (str or Path): Of its first checkpoint.
        logger (logging.Logger): Of the run.
    """
    try:
        load(path)
    except Exception as error:  # Whatever its content may cause.
        logger.warning(refusal(error, path))
        logger.warning(
            'So no run could go on from what this one saves: keep it out '
            'of the metainfo, the message hub and the optimizer')
