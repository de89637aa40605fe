"""Puts what is saved in place whole or not at all: a crash loses none."""
from __future__ import annotations

import contextlib
import os
import shutil
import zipfile
from pathlib import Path

from agvm_mm.compat.digest import seal

# MMEngine's file in a work dir, which names the newest checkpoint.
POINTER = 'last_checkpoint'
# Neither MMEngine nor a glob for '*.pth' takes such a name.
BEGUN = '.{}.writing'
# A folder that another one of its name is to take the place of.
REPLACED = '.{}.replaced'


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

    A file's check sums, which torch computes in memory, are compared with what
    can be read back; a folder's have been, by the ranks that wrote it.

    Args:
        path (str or Path): Its name. It was written to :func:`begun`.

    Raises:
        OSError: If it cannot be written, or is not what was written.
    """
    source, path = begun(path), Path(path)
    if not source.is_dir():
        _seal(source)
    if not (source.is_dir() or path.is_dir()):
        os.replace(source, path)
    else:
        # No folder can take the place of another in one step.
        old = path.with_name(REPLACED.format(path.name))
        if path.exists():
            os.replace(path, old)
        os.replace(source, path)
        drop(old)
    sync_folder(path.parent)


def put_back(folder: str | Path) -> None:
    """Name again what was to be replaced, if nothing came in its place.

    Args:
        folder (str or Path): Where a run wrote that was cut off.
    """
    before, after = REPLACED.split('{}')
    for old in Path(folder).glob(REPLACED.format('*')):
        path = old.with_name(old.name[len(before):-len(after)])
        if path.exists():
            drop(old)
        else:
            os.replace(old, path)


def _seal(source: Path) -> None:
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
    """Remove a file or folder if it is there, and can be removed.

    Args:
        path (str or Path): Of the file or folder.
    """
    path = Path(path)
    with contextlib.suppress(OSError):
        if not path.is_dir():
            os.remove(path)
            return
        if not path.name.startswith('.'):
            # A kill in the midst of it leaves no half of a checkpoint.
            os.replace(path, begun(path))
            path = begun(path)
        shutil.rmtree(path)


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
