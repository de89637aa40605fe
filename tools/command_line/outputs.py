"""Writes the file that ``--out`` names."""
from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Iterator


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Within, a file that cannot be written is one line.

    Args:
        out (Path): The file.

    Raises:
        OSError: That names it.
    """
    try:
        yield
    except OSError as error:
        raise OSError(f'{out} cannot be written ({error.strerror}): name '
                      'another file with --out') from error
