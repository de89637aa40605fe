"""Puts files in place whole or not at all, so that a crash loses none."""
from __future__ import annotations

import contextlib
import os
import zipfile
from pathlib import Path

from agvm_mm.compat.digest import seal

# MMEngine's file in a work dir, which names the newest checkpoint.
POINTER = 'last_checkpoint'
# Neither MMEngine nor a glob for '*.pth' takes such a name.
BEGUN = '.{}.writing'


def begun(path: str | Path) -> Path:
    """Where a file is written before it gets its name.

    Args:
        path (str or Path): Of the file. The other one is beside it, since a
            file can be renamed within a file system alone.
    """
    path = Path(path)
    return path.with_name(BEGUN.format(path.name))


def put_in_place(path: str | Path) -> None:
    """Give a checkpoint its name, once it is known to be whole on the disk.

    The archive's check sums, which torch computes in memory, are compared with
    what can be read back.

    Args:
        path (str or Path): Its name. It was written to :func:`begun`.

    Raises:
        OSError: If it cannot be written, or is not what was written.
    """
    source = begun(path)
    try:
        with zipfile.ZipFile(source) as archive:
            damaged = archive.testzip()
        if damaged is None:
            seal(source)
    except (zipfile.BadZipFile, ValueError) as error:
        raise OSError(f'{source} reads other than it was written '
                      f'({error})') from error
    if damaged is not None:
        raise OSError(f'{source} reads other than it was written '
                      f'({damaged})')
    os.replace(source, path)
    sync_folder(Path(path).parent)


def put_text(path: str | Path, text: str) -> None:
    """Replace a file by another text in one step.

    Args:
        path (str or Path): Of the file.
        text (str): Its new content.

    Raises:
        OSError: If it cannot be written; the file is then as it was.
    """
    source = begun(path)
    try:
        with open(source, 'w') as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(source, path)
    except OSError:
        drop(source)
        raise
    sync_folder(Path(path).parent)


def drop(path: str | Path) -> None:
    """Remove a file if it is there, and can be removed.

    Args:
        path (str or Path): Of the file.
    """
    with contextlib.suppress(OSError):
        os.remove(path)


def drop_begun(folder: str | Path) -> None:
    """Remove what a run left that was cut off while it wrote.

    Args:
        folder (str or Path): Where it wrote.
    """
    for path in Path(folder).glob(BEGUN.format('*')):
        drop(path)


def sync_folder(path: str | Path) -> None:
    """Flush the names of a folder to disk, where its file system can.

    Args:
        path (str or Path): Of the folder.
    """
    with contextlib.suppress(OSError):
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
