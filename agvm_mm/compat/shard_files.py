"""The files of a checkpoint in shards, and whether they are as written.

It goes with :mod:`.shards`.
"""
from __future__ import annotations

import functools
from pathlib import Path
from typing import Mapping

from .digest import digest_of
from .ranks import rank_of

METADATA = '.metadata'  # torch's own, of which part of a tensor is where
RUN = 'run.pth'  # is written last, and lists the others under LISTED
LISTED = 'shards'


def describe(folder: Path, pattern: str) -> dict | OSError:
    """What is to be known of files that were just written.

    Args:
        folder (Path): Where they are.
        pattern (str): Of their names.

    Returns:
        dict or OSError: Length and digest by name, or why they cannot be
        read: other ranks wait for an answer.
    """
    try:
        return {
            path.name: [path.stat().st_size,
                        digest_of(path)]
            for path in folder.glob(pattern)
        }
    except OSError as error:
        return error


def is_of_another_library(folder: Path) -> bool:
    """Whether a folder is the checkpoint of a strategy that is not FSDP's.

    DeepSpeed and ColossalAI write folders too, which their strategies read.

    Args:
        folder (Path): That is named as a checkpoint.
    """
    ours = RUN, METADATA, 'rank0.pth', '*.distcp'
    return any(folder.iterdir()) and not any(
        any(folder.glob(name)) for name in ours)


def what_is_missing(folder: Path) -> str | None:
    """What a folder lacks of a checkpoint; None if it may be one.

    Args:
        folder (Path): That is named as a checkpoint.

    Raises:
        ValueError: If each rank wrote it for itself.
    """
    if (folder / RUN).is_file():
        return None
    if (folder / 'rank0.pth').is_file():
        raise ValueError(
            f'checkpoint {folder} is a folder, as FSDP writes with '
            "strategy.state_dict_cfg='local', each rank its shards, which "
            "nobody else can load: train with strategy.state_dict_cfg='full' "
            "or 'sharded'")
    return f'{RUN}, which is written last, is missing'


def what_is_wrong(folder: Path, listed: Mapping[str, list]) -> str | None:
    """What files of a folder are not as they were written.

    The first rank reads them; the others look at their lengths, since all of
    them together would read as much as there are ranks.

    Args:
        folder (Path): Of a checkpoint.
        listed (Mapping[str, list]): Length and digest by name.

    Returns:
        str or None: One of them, and what is wrong; None if all is well.
    """
    # No process group is there yet, as a rule.
    first = rank_of('RANK') == 0
    for name, (size, digest) in listed.items():
        path = folder / name
        if not path.is_file():
            return f'{name} is missing'
        stat = path.stat()
        if stat.st_size != size:
            return f'{name} has {stat.st_size} bytes, and had {size}'
        if first and digest != _digest(str(path), size, stat.st_ctime_ns):
            return f'{name} is not what its digest says'
    return None


@functools.lru_cache(None)
def _digest(path: str, size: int, changed: int) -> str:
    return digest_of(path)
