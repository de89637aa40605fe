"""Finds the checkpoint that a run goes on from by itself."""
from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Iterable, NamedTuple

from agvm_mm.compat.checkpoint import check_checkpoint, load
from agvm_mm.compat.shard_files import is_of_another_library

from .files import POINTER
from .resumable import is_resumable, lacks_optimizer


class Found(NamedTuple):
    """What there is to go on from, and what is not."""

    # The newest whole checkpoint, if there is one.
    path: str | None
    # What would have come before it, and what is wrong with each.
    passed_over: list[str]


class _Files:
    """Looks at checkpoints, at each once.

    A class, since to look at one takes as long as to read it.
    """

    def __init__(self) -> None:
        self.wrong: dict[Path, str] = {}
        self._updates: dict[Path, int | None] = {}

    def updates(self, path: Path) -> int | None:
        """Up to which a file was trained; None if none can go on from it."""
        if path not in self._updates:
            self._updates[path] = self._look(path)
        return self._updates[path]

    def furthest(self, paths: Iterable[Path]) -> Path | None:
        """The whole file that was trained longest."""
        # Of each kind of name only the highest number has to be read, and the
        # last that was written: a number counts iterations, of which an
        # update has others on another number of processes.
        whole = []
        for order in (_number, _written):
            kinds: dict[str, list[Path]] = {}
            for path in sorted(set(paths), key=order):
                kinds.setdefault(re.sub(r'\d+', '', path.name),
                                 []).append(path)
            for files in kinds.values():
                while files and self.updates(files[-1]) is None:
                    files.pop()
                whole += files[-1:]
        return max(whole, key=self.updates, default=None)

    def _look(self, path: Path) -> int | None:
        try:
            check_checkpoint(path)
        except (OSError, ValueError) as error:
            # The message's first sentence, without the path.
            told = str(error).replace(f'checkpoint {path}', '').strip()
            self.wrong[path] = re.split(r'(?<=\w)\. ', told)[0]
            return None
        if path.is_dir() and is_of_another_library(path):
            self.wrong[path] = "another library's"
            return None
        content = load(path)
        if not is_resumable(content):
            if lacks_optimizer(content):  # Or all would begin anew.
                self.wrong[path] = 'without optimizer'
            return None  # Weights, as of the best model.
        meta = content['meta']
        return meta.get('updates', meta['iter'])


def _number(path: Path) -> list[int]:
    return [int(digits) for digits in re.findall(r'\d+', path.name)]


def _written(path: Path) -> int:
    return path.stat().st_mtime_ns


def find_newest(work_dir: str | Path,
                out_dir: str | Path | None = None,
                suffix: str = '.pth') -> Found:
    """The newest whole checkpoint of a run.

    ``last_checkpoint`` tells it, unless its file is not whole, or others were
    written after it, before the run was cut off. Where it holds a path that is
    gone, the file of that name in the folder is meant, as the folder may have
    been moved.

    Args:
        work_dir (str or Path): Of the run.
        out_dir (str or Path, optional): Where its checkpoints are, if they are
            elsewhere. Defaults to None.
        suffix (str): Of their names. Defaults to '.pth'.

    Returns:
        Found: With neither, if there never was one.
    """
    folder = Path(out_dir or work_dir)
    present = [
        path for path in folder.glob(f'*{suffix}')
        if not path.name.startswith(('best_', '.')) and path.exists()
    ]  # A link may lead nowhere.
    files = _Files()
    pointer = Path(work_dir, POINTER)
    problems: list[str] = []
    text = (
        pointer.read_text(errors='replace').strip()
        if pointer.is_file() else None)
    if text is None:
        problems = [f'{POINTER} (missing)'] if present else []
    elif not text:
        problems = [f'{POINTER} (empty)']
    elif not text.isprintable() or '\ufffd' in text:
        problems, text = [f'{POINTER} (is damaged)'], ''
    if not text:
        found = _found(files, present, problems)
        if text is None and found == (None, problems):
            return Found(None, [])  # Weights alone, as somebody put there.
        return found
    if '://' in text:
        return Found(text, [])
    named = next((path for path in (Path(work_dir, text),
                                    folder / Path(text).name)
                  if os.path.exists(path)), None)
    if named is None:
        problems = [f'{POINTER} (names {text}, which is not there)']
    elif files.updates(named) is not None:
        written = pointer.stat().st_mtime_ns
        present = [p for p in present if p.stat().st_mtime_ns > written]
    return _found(files, [*present, *filter(None, [named])], problems)


def _found(files: _Files, paths: list[Path], problems: list[str]) -> Found:
    path = files.furthest(paths)
    wrong = [f'{p.name} ({why})' for p, why in files.wrong.items()]
    return Found(None if path is None else str(path), problems + wrong)
