"""A digest of a checkpoint, in the comment at the end of its archive.

torch writes a zip archive and reads it without a look at its check sums, so
that a byte that a disk or a network changed is trained on in silence. A zip
archive may end with a comment, which torch, MMEngine and ``unzip`` pass over:
there the digest stays with the file wherever it is copied or renamed, which a
second file beside it would not. It is of all that stands before it::

    head -c -79 epoch_1.pth | sha256sum

A torch that verifies what it reads would let this go.
"""
from __future__ import annotations

import functools
import hashlib
import os
import struct
from pathlib import Path
from typing import BinaryIO

COMMENT = b'agvm_mm sha256 %s'
LENGTH = len(COMMENT % bytes(64))
# The record that ends an archive, with the length of the comment in its end.
MARK, RECORD, LONGEST = b'PK\5\6', 22, 0xffff
CHUNK = 1 << 20


def seal(path: str | Path) -> None:
    """Write its digest into a file that is complete, and flush it to disk.

    Args:
        path (str or Path): Of an archive without a comment.

    Raises:
        OSError: If it cannot be written.
        ValueError: If it is no such archive.
    """
    with open(path, 'r+b') as file:
        start = os.path.getsize(path) - RECORD
        file.seek(max(start, 0))
        if not file.read().startswith(MARK):
            raise ValueError(f'{path} is no archive that a digest fits in')
        file.seek(-2, os.SEEK_END)
        file.write(struct.pack('<H', LENGTH))
        digest = _digest(file, start + RECORD)
        file.seek(0, os.SEEK_END)
        file.write(COMMENT % digest)
        file.flush()
        os.fsync(file.fileno())


def digest_of(path: str | Path) -> str:
    """The digest of all of a file, in hexadecimal.

    Args:
        path (str or Path): Of a local file.

    Raises:
        OSError: If it cannot be read.
    """
    with open(path, 'rb') as file:
        return _digest(file, os.path.getsize(path)).decode()


def is_as_written(path: str | Path) -> bool:
    """Whether a file is what its digest says, or has none.

    Args:
        path (str or Path): Of a local file.

    Raises:
        OSError: If it cannot be read.
    """
    stat = os.stat(path)
    return _is_as_written(str(path), stat.st_size, stat.st_ctime_ns)


# A run checks a file before it is built, and again when it loads it.
@functools.lru_cache(None)
def _is_as_written(path: str, size: int, changed: int) -> bool:
    with open(path, 'rb') as file:
        file.seek(max(size - RECORD - LONGEST, 0))
        tail = file.read()
        start = tail.rfind(MARK)
        comment = tail[start + RECORD:]
        if start < 0 or not comment:
            return True
        return comment == COMMENT % _digest(file, size - len(comment))


def _digest(file: BinaryIO, size: int) -> bytes:
    """Of a file's first bytes, in hexadecimal."""
    found = hashlib.sha256()
    file.seek(0)
    while size > 0:
        chunk = file.read(min(CHUNK, size))
        found.update(chunk)
        size -= len(chunk)
        if not chunk:
            break
    return found.hexdigest().encode()
