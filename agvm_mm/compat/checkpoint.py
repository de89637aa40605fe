"""Lets MMEngine's checkpoints load under torch's safe loader.

From torch 2.6 on ``torch.load`` refuses classes that it does not know, among
them those of MMEngine 0.10's own checkpoints, so that ``--resume`` and
``tools/test.py`` fail. :mod:`.safe_globals` names what such a checkpoint may
hold; a file that holds anything else is refused before a run is built, with
the way to its weights. A MMEngine that saves nothing but tensors and plain
values would let this go.
"""
from __future__ import annotations

import functools
import inspect
import logging
import os
import re
import shlex
import zipfile
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log

from .digest import is_as_written
from .ranks import rank_of
from .safe_globals import safe_globals
from .shard_files import (
    LISTED,
    RUN,
    is_of_another_library,
    what_is_missing,
    what_is_wrong,
)

# How torch names what its safe loader found; the words are torch's.
FOUND = (r'GLOBAL (\S+) was not an allowed', r'unsupported GLOBAL (\S+) whose',
         r"got <class '([^']+)'>", r'(getattr\(.*?\)) is asked for')

# Runs in a shell, followed by the file to read and the file to write.
WEIGHTS_ALONE = (
    'import sys, torch; '
    "c = torch.load(sys.argv[1], map_location='cpu', weights_only=False); "
    "keys = 'state_dict', 'model_state_dict', 'model'; "
    'c = next((c[k] for k in keys if k in c), c) '
    'if isinstance(c, dict) else c; '
    'c = c if isinstance(c, dict) else c.state_dict(); '
    "torch.save({'state_dict': {k: v for k, v in c.items() "
    'if torch.is_tensor(v)}}, sys.argv[2])')


def check_checkpoint(path: str | Path) -> None:
    """Refuse a checkpoint that cannot be loaded, before a run is built.

    Args:
        path (str or Path): A local file or folder; an address is left to the
            loader.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is a folder of FSDP's shards that is not whole, or
            that each rank wrote for itself; if it is cut
            short, or is not what its digest says (the message names the others
            that lie beside it); or if it holds what could run code (the
            message says what, and how to save its weights alone).
    """
    if '://' in str(path):
        return
    path = Path(path).expanduser()  # as MMEngine's loader
    if path.is_dir():
        _check_folder(path)
        return
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path}: there is no such file')
    with open(path, 'rb') as file:
        head = file.read(2)
    # torch writes a zip archive, whose directory comes last. Its older format
    # is another, and has no such mark.
    archive = head == b'PK'
    if archive and not is_as_written(path):
        raise ValueError(
            f'checkpoint {path} is damaged: its content is not what its '
            f'digest says. Name another one; beside it: {_beside(path)}')
    if not head or (archive and not _is_complete(path)):
        raise ValueError(
            f'checkpoint {path} is cut short, as if its writing was '
            f'interrupted. Name another one; beside it: {_beside(path)}')
    _check_content(path)


def _check_folder(path: Path) -> None:
    if is_of_another_library(path):
        return
    wrong = what_is_missing(path)
    if not wrong:
        check_checkpoint(path / RUN)
        wrong = what_is_wrong(path, load(path)[LISTED])
    if wrong:
        raise ValueError(
            f'checkpoint {path} is not whole: {wrong}. Name another one; '
            f'beside it: {_beside(path)}')


def _is_complete(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # Of numbers that make no sense.
        return False


def _beside(path: Path) -> str:
    others = sorted((p for p in path.parent.glob('*.pth') if p != path),
                    key=lambda p: p.stat().st_mtime)
    return ', '.join(str(p) for p in others) or 'none'


def _check_content(path: Path) -> None:
    """Read a file as a loader of MMEngine will.

    Raises:
        ValueError: If it holds what the safe loader refuses, or is no file of
            torch at all.
    """
    if _unsafe_by_choice():
        return
    if not _safe_loader_can_be_told():
        _warn_once(
            f'torch {torch.__version__} has no safe loader that reads '
            f"MMEngine's checkpoints (2.4 has): {path} can run code when it "
            'is loaded, so it must be a file that you trust')
    try:
        load(path)
    except Exception as error:  # What is no checkpoint fails in any way.
        raise ValueError(refusal(error, path)) from None


def refusal(error: Exception, path: str | Path | None = None) -> str:
    """What the safe loader found, and how to take the weights alone.

    Args:
        error (Exception): Of ``torch.load``.
        path (str or Path, optional): The file. Defaults to None, one that is
            not known, as a backbone's pre-trained weights from an address.
    """
    name = f'checkpoint {path}' if path else 'a checkpoint of this config'
    text = str(error)
    matches = [re.search(pattern, text) for pattern in FOUND]
    found = next((match[1] for match in matches if match), None)
    if found is None:
        words = re.sub(r'\s+', ' ', text.split('WeightsUnpickler error: ')[-1])
        return (f'{name} cannot be read '
                f'({type(error).__name__}: {words[:200]})')
    source = shlex.quote(str(path or 'CHECKPOINT'))
    target = shlex.quote(f'{path or "CHECKPOINT"}.weights.pth')
    return (f'{name} holds {found}, and a file with that can '
            'run code when it is read. If you trust it, save its weights '
            'alone, and name that file instead, in load_from or test.py, not '
            f'in --resume: python -c "{WEIGHTS_ALONE}" {source} {target}')


def load(path: str | Path) -> Any:
    """Read a checkpoint as a loader of MMEngine will, onto the CPU.

    Args:
        path (str or Path): A local file, or a folder of shards, of which the
            file beside them is read.

    Returns:
        object: What it holds; its tensors are not read before they are used.
    """
    path = Path(path).expanduser()
    path = path / RUN if path.is_dir() else path
    # OneDL's MMEngine takes its classes off the list again after a load.
    allow_mmengine_checkpoints()
    mapped = {}
    if 'mmap' in inspect.signature(torch.load).parameters:  # not in torch 2.0
        mapped['mmap'] = zipfile.is_zipfile(path)
    return torch.load(
        str(path),  # torch 2.1 maps no other
        map_location='cpu',
        **mapped,
        weights_only=_safe_loader_can_be_told() and not _unsafe_by_choice())


def force_safe_loading() -> None:
    """Let every ``torch.load`` of this process refuse what could run code.

    It is torch's default from 2.6 on. Before 2.4 the safe loader cannot be
    told of MMEngine's classes, so there nothing is changed; nor where the user
    has chosen the unsafe one, by ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1``.

    Raises:
        ValueError: If the user has chosen both.
    """
    if not _safe_loader_can_be_told():
        return
    if not _unsafe_by_choice():
        os.environ['TORCH_FORCE_WEIGHTS_ONLY_LOAD'] = '1'
    elif _is_set('TORCH_FORCE_WEIGHTS_ONLY_LOAD'):
        raise ValueError(
            'TORCH_FORCE_WEIGHTS_ONLY_LOAD=1 and '
            'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 are both set, and ask for the '
            'opposite: unset one of them (the second lets checkpoints run '
            'code)')


@functools.lru_cache(None)
def _warn_once(message: str) -> None:
    # No process group is there yet, as a rule.
    if rank_of('RANK') == 0:
        print_log(message, 'current', logging.WARNING)


def _unsafe_by_choice() -> bool:
    return _is_set('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD')


def _is_set(variable: str) -> bool:
    # As torch reads it.
    return os.environ.get(variable, '').lower() in ('1', 'y', 'yes', 'true')


def _safe_loader_can_be_told() -> bool:
    # From torch 2.4 on; before, the default is the unsafe loader.
    return hasattr(torch.serialization, 'add_safe_globals')


def allow_mmengine_checkpoints() -> None:
    """Allow what MMEngine's checkpoints hold in torch's safe loader."""
    if _safe_loader_can_be_told():
        torch.serialization.add_safe_globals(safe_globals())
