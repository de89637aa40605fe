"""Saves a checkpoint of a run whole, or not at all."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mmengine._strategy import SingleDeviceStrategy
from mmengine.dist import all_gather_object, is_main_process
from mmengine.fileio import LocalBackend
from mmengine.runner import Runner

from agvm_mm.compat.fsdp_strategy import AGVMFSDPStrategy

from .files import POINTER, begun, drop, put_in_place, put_text


class NotSavedError(Exception):
    """A checkpoint could not be written; every rank is told why."""


def saves_files(runner: Runner, file_backend: Any) -> bool:
    """Whether a run's checkpoints are written beside their place first.

    Args:
        runner (Runner or FlexibleRunner): The run.
        file_backend (object): MMEngine's, for where they go.

    Returns:
        bool: False where they are MMEngine's own: in another storage than
        this machine's files, or each rank's part by itself, in a folder.
    """
    # MMEngine's older file_client_args wrap it in a client.
    backend = getattr(file_backend, 'client', file_backend)
    if not isinstance(backend, LocalBackend):
        return False
    strategy = getattr(runner, 'strategy', None)
    full = getattr(strategy, '_is_full_state_dict', None)
    if full is not None:
        return full() or isinstance(strategy, AGVMFSDPStrategy)
    return strategy is None or isinstance(strategy, SingleDeviceStrategy)


def save_whole(runner: Runner, out_dir: str, filename: str,
               **settings: Any) -> None:
    """``runner.save_checkpoint``, but it gets its name when it is whole.

    Until then an earlier one of that name is as it was. All ranks call it.

    Args:
        runner (Runner or FlexibleRunner): The run.
        out_dir (str): A local folder.
        filename (str): In that folder, of a file or of a folder of shards.
        **settings: For ``runner.save_checkpoint``.

    Raises:
        NotSavedError: On every rank, if one could not write it. Nothing is
            left of it.
    """
    path = Path(out_dir, filename)
    why = None
    try:
        runner.save_checkpoint(
            str(path.parent),
            begun(path).name, **settings)
        if is_main_process():
            put_in_place(path)
    except OSError as error:
        why = error.strerror or str(error)
    told = [text for text in all_gather_object(why) if text is not None]
    if told:
        if is_main_process():
            drop(begun(path))
        raise NotSavedError(told[0])


def name_latest(runner: Runner, path: str) -> None:
    """Let ``last_checkpoint`` of the work dir name a file, in one step.

    By its name alone, so that the work dir can be moved, unless it is in
    another folder.

    Args:
        runner (Runner or FlexibleRunner): The run.
        path (str): Of the checkpoint.
    """
    folder, name = os.path.split(path)
    here = os.path.abspath(folder) == os.path.abspath(runner.work_dir)
    pointer = Path(runner.work_dir, POINTER)
    try:
        put_text(pointer, name if here else os.path.abspath(path))
    except OSError as error:
        # It is older than the file, which auto-resume sees.
        runner.logger.warning(f'{pointer} was not written ({error})')
