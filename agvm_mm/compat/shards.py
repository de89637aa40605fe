"""Checkpoints of FSDP in shards, that any number of ranks can read.

A checkpoint is a folder: the tensors by torch's distributed checkpoint, each
rank its part, and last ``run.pth``, a file of torch with whatever else
belongs to the run. It lists the others with their digests::

    epoch_3.pth/__0_0.distcp    what rank 0 held of each tensor
    epoch_3.pth/__1_0.distcp
    epoch_3.pth/.metadata       which part of which tensor is where
    epoch_3.pth/run.pth

MMEngine 0.10 writes a file for each rank, which only as many ranks can read.
One that writes by ``torch.distributed.checkpoint`` would let this go.
"""
from __future__ import annotations

import inspect
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from mmengine.dist import (
    all_gather_object,
    barrier,
    get_rank,
    is_main_process,
)
from mmengine.runner import CheckpointLoader, save_checkpoint
from torch import Tensor
from torch.distributed.checkpoint import (
    CheckpointException,
    DefaultSavePlanner,
)

from .checkpoint import load
from .digest import seal
from .shard_files import (
    LISTED,
    METADATA,
    RUN,
    describe,
    is_of_another_library,
)
from .shard_metadata import SafeReader


def write_shards(folder: str | Path, checkpoint: dict) -> None:
    """Write a checkpoint, each rank its shards. All ranks call it.

    Args:
        folder (str or Path): Is emptied first.
        checkpoint (dict): As MMEngine writes one, its tensors in shards.

    Raises:
        OSError: If it cannot be written: on every rank, but for what the
            first rank writes last.
    """
    folder = Path(folder)
    if is_main_process():
        shutil.rmtree(folder, ignore_errors=True)
    barrier()
    tensors, rest = _split(checkpoint)
    lowest = 'dedup_save_to_lowest_rank'  # What is whole is the first rank's.
    known = inspect.signature(DefaultSavePlanner).parameters
    save = getattr(dcp, 'save', None) or dcp.save_state_dict  # torch 2.1
    try:
        save(
            state_dict=tensors,
            storage_writer=dcp.FileSystemWriter(str(folder)),
            planner=DefaultSavePlanner(
                **({lowest: True} if lowest in known else {})))
    except CheckpointException as error:
        causes = [cause for cause, _ in error.failures.values()]
        if not all(isinstance(cause, OSError) for cause in causes):
            raise
        raise OSError(causes[0].errno, causes[0].strerror
                      or str(causes[0])) from error
    described = all_gather_object(describe(folder, f'__{get_rank()}_*'))
    files = {}
    for of_rank in described:
        if isinstance(of_rank, OSError):
            raise of_rank
        files.update(of_rank)
    if is_main_process():
        metadata = describe(folder, METADATA)
        if isinstance(metadata, OSError):
            raise metadata
        rest[LISTED] = {**files, **metadata}
        save_checkpoint(rest, str(folder / RUN))
        seal(folder / RUN)


def read_shards(folder: str | Path, into: dict) -> dict:
    """Read a checkpoint's tensors into those of this run. All ranks call it.

    Args:
        folder (str or Path): Of :func:`write_shards`, by as many ranks or not.
        into (dict): The tensors, in shards, with the checkpoint's keys.

    Returns:
        dict: The same, without what the checkpoint lacks.
    """
    reader = SafeReader(str(folder))
    names = reader.read_metadata().state_dict_metadata
    into = _present(into, names)
    read = getattr(dcp, 'load', None) or dcp.load_state_dict  # torch 2.1
    read(state_dict=into, storage_reader=reader)
    return into


def load_whole(path: str | Path) -> dict:
    """Read a checkpoint into one process, its tensors whole, on the CPU.

    Args:
        path (str or Path): A file, or a folder of :func:`write_shards`.

    Returns:
        dict: As of a file.
    """
    whole = load(path)
    if not Path(path).is_dir():
        return whole
    reader = SafeReader(str(path))
    metadata = reader.read_metadata()
    tensors = {
        name: torch.empty(stored.size, dtype=stored.properties.dtype)
        for name, stored in metadata.state_dict_metadata.items()
    }
    # torch 2.2 and 2.3 have a load that is always of all ranks.
    read = getattr(dcp, 'load', None)
    if read is None or 'no_dist' not in inspect.signature(read).parameters:
        read = dcp.load_state_dict
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # That it is of one process.
        read(state_dict=tensors, storage_reader=reader, no_dist=True)
    del whole[LISTED]
    for name, tensor in tensors.items():
        *keys, last = metadata.planner_data[name]
        place = whole
        for key in keys:
            place = place.setdefault(key, {})
        place[last] = tensor
    return whole


def let_runners_load(folder: str | Path) -> None:
    """Let a runner without FSDP take a folder for a file.

    Args:
        folder (str or Path): Of :func:`write_shards`.
    """
    CheckpointLoader.register_scheme(
        f'{re.escape(str(folder))}$', loader=load_from_shards, force=True)


def load_from_shards(filename: str, map_location: Any = None) -> dict:
    """A loader of MMEngine's, which names it in the log.

    Args:
        filename (str): The folder.
        map_location (Any): Not used: what takes the tensors moves them.

    Raises:
        ValueError: If another library has written it.
    """
    if is_of_another_library(Path(filename)):
        raise ValueError(
            f'checkpoint {filename} is a folder that another library has '
            'written, as DeepSpeed, and that its own strategy alone reads: '
            'go on with that strategy, or name another checkpoint')
    return load_whole(filename)


def _split(checkpoint: dict) -> tuple[dict, dict]:
    """The tensors of its model and optimizer, and whatever else it has."""
    tensors, rest = {}, dict(checkpoint)
    tensors['state_dict'], rest['state_dict'] = _parted(
        checkpoint['state_dict'])
    if 'optimizer' in checkpoint:
        held, left = _parted(checkpoint['optimizer']['state'])
        tensors['optimizer'] = dict(state=held)
        rest['optimizer'] = dict(checkpoint['optimizer'], state=left)
    return tensors, rest


def _parted(state: dict) -> tuple[dict, dict]:
    tensors, rest = {}, {}
    for key, value in state.items():
        if isinstance(value, dict):
            tensors[key], rest[key] = _parted(value)
        elif isinstance(value, Tensor):
            tensors[key] = value
        else:
            rest[key] = value
    return tensors, rest


def _present(state: dict, names: Any, prefix: str = '') -> dict:
    """The part of a nested state that a checkpoint has."""
    found = {}
    for key, value in state.items():
        name = f'{prefix}{key}'
        if isinstance(value, dict):
            found[key] = _present(value, names, f'{name}.')
        elif name in names:
            found[key] = value
    return found
