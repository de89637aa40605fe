"""Lets MMEngine's checkpoints load under torch's safe loader.

From torch 2.6 on ``torch.load`` refuses classes that it does not know, among
them the ``HistoryBuffer`` in which MMEngine 0.10 keeps its logs, so that
``--resume`` and ``tools/test.py`` fail.  This module names the classes of such
a checkpoint, and no others: a file that holds anything else is still refused.
"""
from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any, Callable

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

# What MMEngine registers as statistics of a HistoryBuffer; a checkpoint holds
# each as getattr(HistoryBuffer, name).
STATISTICS = ('min', 'max', 'current', 'mean')


def _history_buffer_getattr(owner: type, name: str) -> Callable:
    """Stand in for ``getattr``, for what a HistoryBuffer's pickle needs.

    Raises:
        UnpicklingError: For any other attribute: with the builtin, a crafted
            file could reach whatever hangs on an allowed class.
    """
    if owner is not HistoryBuffer or name not in STATISTICS:
        raise pickle.UnpicklingError(
            f'a checkpoint asks for {owner!r}.{name}, which no checkpoint of '
            'MMEngine needs; it is refused')
    return getattr(HistoryBuffer, name)


def check_checkpoint(path: str | Path) -> None:
    """Refuse a checkpoint whose writing was cut off, before it is loaded.

    Args:
        path (str or Path): A local file; an address is left to the loader.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is cut short. The message names the others that lie
            beside it.
    """
    if '://' in str(path):
        return
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path}: there is no such file')
    with open(path, 'rb') as file:
        head = file.read(2)
    # torch writes a zip archive, whose directory comes last. Its older format
    # is another, and has no such mark.
    cut_short = not head or (head == b'PK' and not zipfile.is_zipfile(path))
    if not cut_short:
        return
    others = sorted((p for p in path.parent.glob('*.pth') if p != path),
                    key=lambda p: p.stat().st_mtime)
    beside = ', '.join(str(p) for p in others) or 'none'
    raise ValueError(
        f'checkpoint {path} is cut short, as if its writing was interrupted. '
        f'Name another one; beside it: {beside}')


def check_resume(path: str | Path, with_agvm: bool) -> None:
    """Refuse a checkpoint that a run cannot go on from, before it is built.

    Args:
        path (str or Path): A local file; an address is left to the loader.
        with_agvm (bool): Whether the run has an AGVM wrapper.

    Raises:
        ValueError: If the checkpoint was written with AGVM, and the run is
            without: torch would tell of other parameter groups.
    """
    # A file that is no archive is older than AGVM, and a loader that cannot be
    # told of MMEngine's classes (torch < 2.4) could not read it safely.
    if (with_agvm or not zipfile.is_zipfile(path)
            or not hasattr(torch.serialization, 'add_safe_globals')):
        return
    # OneDL's MMEngine takes its classes off the list again after a load.
    allow_mmengine_checkpoints()
    checkpoint = torch.load(
        path, map_location='cpu', mmap=True, weights_only=True)
    optimizer = checkpoint.get('optimizer', {})
    # Of several optimizers it is a dict of their states.
    states = [optimizer, *optimizer.values()]
    if any(isinstance(s, dict) and 'agvm' in s for s in states):
        raise ValueError(
            f'checkpoint {path} was written with AGVM, whose optimizer has '
            'other groups than one without. To go on without AGVM keep it in '
            'the config and switch it off, with optim_wrapper.agvm.end=0; to '
            'take the weights alone, set load_from and leave --resume out')


def force_safe_loading() -> None:
    """Let every ``torch.load`` of this process refuse what could run code.

    It is torch's default from 2.6 on. Before 2.4 the safe loader cannot be
    told of MMEngine's classes, so there nothing is changed.
    """
    if hasattr(torch.serialization, 'add_safe_globals'):
        os.environ['TORCH_FORCE_WEIGHTS_ONLY_LOAD'] = '1'


def allow_mmengine_checkpoints() -> None:
    """Allow the classes of MMEngine's checkpoints in torch's safe loader."""
    if not hasattr(torch.serialization, 'add_safe_globals'):
        return  # torch < 2.4, whose default is the unsafe loader.
    core: Any = getattr(np, '_core', None) or np.core
    torch.serialization.add_safe_globals([
        HistoryBuffer,
        core.multiarray._reconstruct,
        core.multiarray.scalar,
        np.ndarray,
        np.dtype,
        type(np.dtype(np.float64)),
        type(np.dtype(np.int64)),
        type(np.dtype(np.float32)),
        (_history_buffer_getattr, 'builtins.getattr'),
    ])
