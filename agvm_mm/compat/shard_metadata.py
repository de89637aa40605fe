"""Reads the metadata of torch's distributed checkpoint, and runs nothing.

torch reads it by ``pickle``, which runs what a crafted file says. A torch that
reads it by its safe loader would let this go.
"""
from __future__ import annotations

import pathlib
import pickle
from typing import Any

import torch
from torch.distributed.checkpoint import FileSystemReader, metadata
from torch.distributed.checkpoint.metadata import Metadata

from .shard_files import METADATA

# Functions and classes of the metadata, beside its own module's.
ALLOWED = {
    ('torch', 'Size'),
    ('torch.serialization', '_get_layout'),
    ('torch.distributed.checkpoint.filesystem', '_StorageInfo'),
    # Of a tensor, before torch 2.3.
    *(('torch.distributed._shard.sharded_tensor.metadata', name)
      for name in ('TensorProperties', 'MEM_FORMAT_ENCODING')),
    *((module, name) for module in ('pathlib', 'pathlib._local')
      for name in ('Path', 'PosixPath', 'PurePosixPath')),
}


class SafeReader(FileSystemReader):
    """torch's reader of a folder, which takes no metadata that could act."""

    def read_metadata(self) -> Metadata:
        """Which part of which tensor is where.

        Raises:
            UnpicklingError: If it holds what no such metadata does.
        """
        with open(pathlib.Path(self.path, METADATA), 'rb') as file:
            return _Unpickler(file).load()


class _Unpickler(pickle.Unpickler):

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in ALLOWED:
            # A path may be of another Python's module.
            if module.startswith('pathlib'):
                return pathlib.PurePosixPath
            return super().find_class(module, name)
        if module == 'torch':
            dtype = getattr(torch, name, None)
            if isinstance(dtype, torch.dtype):
                return dtype
        if module == metadata.__name__:
            kind = getattr(metadata, name, None)
            if isinstance(kind, type) and kind.__module__ == module:
                return kind
        raise pickle.UnpicklingError(
            f'{METADATA} holds {module}.{name}, which no metadata of a '
            'checkpoint needs, and which could run code')
