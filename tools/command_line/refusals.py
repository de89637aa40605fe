"""Ends a tool with one line where a setting is to be mended."""
from __future__ import annotations

import json
import os
import sys
import time
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import agvm_mm
from agvm_mm.compat.ranks import rank_of

from .agents import SAID

# Of a launcher that asks for the reason.
ERROR_FILE = 'TORCHELASTIC_ERROR_FILE'
FIRST_SECONDS = 10
OWN = tuple(
    str(folder) + os.sep
    for folder in (Path(agvm_mm.__file__).parent, Path(__file__).parents[1]))


@contextmanager
def one_line(tool: str) -> Iterator[None]:
    """Within, an error that this package raises ends the process in one line.

    It is written by the first rank, or by each machine if it tells of a file,
    which another machine may have; by another rank, if that has no such error.
    Errors of others keep their traceback.

    Args:
        tool (str): The name of the command.

    Raises:
        SystemExit: Of code 1.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        if not raised_by_us(error):
            raise
        said = f'{tool}: {error}'
        each_machine = isinstance(error, OSError)
        _tell_launcher(said)
        if rank_of('LOCAL_RANK' if each_machine else 'RANK'):
            # The launcher ends all ranks with the first that ends. Whoever is
            # still there after this has the error alone.
            time.sleep(FIRST_SECONDS)
        sys.exit(said)


def raised_by_us(error: BaseException) -> bool:
    """Whether the line that raised an error is this package's.

    Args:
        error (BaseException): That was caught.
    """
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and os.path.abspath(
        frames[-1].filename).startswith(OWN)


def _tell_launcher(said: str) -> None:
    file = os.environ.get(ERROR_FILE)
    if file:
        stamp = str(int(time.time()))
        Path(file).write_text(
            json.dumps(dict(message=f'{SAID}{said}', timestamp=stamp)))
