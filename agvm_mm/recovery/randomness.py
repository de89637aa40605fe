"""Random numbers that do not depend on what was drawn before them.

A saved state of the generators would bring a run back to the bit only where
it goes on just as it was: with as many ranks and workers, which are no older,
and the same validations before. A seed for each step and for each sample needs
none of that.
"""
from __future__ import annotations

import hashlib
import random
import struct
from contextlib import contextmanager
from typing import Any, Iterator, Sequence

import numpy as np
import torch


def seed_all(*key: int) -> None:
    """Seed Python's, NumPy's and torch's generators, on the CPU and on CUDA.

    Args:
        *key (int): What the random numbers are to depend on.
    """
    # A hash, because the seeds of keys that are near each other must not be.
    text = repr([int(part) for part in key])
    words = hashlib.blake2b(text.encode(), digest_size=20).digest()
    python, tensors, numpy = struct.unpack('<QQI', words)
    random.seed(python)
    np.random.seed(numpy)
    # torch.manual_seed would leave a trace of its call on each sample where
    # CUDA is there and not used, as in a worker.
    torch.default_generator.manual_seed(tensors)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(tensors)


@contextmanager
def own_generators(seed: int) -> Iterator[None]:
    """Within, random numbers follow from a seed.

    Afterwards the generators of Python, NumPy, and of torch on the CPU and on
    this process's CUDA device stand where they stood.

    Args:
        seed (int): Of all of them.
    """
    python, numpy = random.getstate(), np.random.get_state()
    devices = []
    if torch.cuda.is_available():
        devices.append(torch.cuda.current_device())
    try:
        with torch.random.fork_rng(devices):
            random.seed(seed)
            np.random.seed(seed)
            torch.default_generator.manual_seed(seed)
            if devices:
                torch.cuda.manual_seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


class SeededIndex(int):
    """An index of a dataset, and what its sample's randomness depends on.

    Args:
        index (int): Of the sample.
        key (tuple[int, ...]): For :func:`seed_all`.
    """

    key: tuple[int, ...]

    def __new__(cls, index: int, key: tuple[int, ...]) -> SeededIndex:
        """An int with a key."""
        self = super().__new__(cls, index)
        self.key = key
        return self

    def __reduce__(self) -> tuple:
        """How it reaches a worker."""
        return SeededIndex, (int(self), self.key)


class SeededFetch:
    """Takes a batch from a dataset, each sample from its own seed.

    It is torch's ``__getitems__`` of a dataset, which a ``DataLoader`` asks
    for a batch, wherever that is loaded: here or in a worker, that was forked
    or spawned.

    Args:
        dataset (Any): With ``__getitem__``, which wraps all that draws.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __call__(self, indices: Sequence[int]) -> list:
        """The samples.

        Args:
            indices (Sequence[int]): One that is no :class:`SeededIndex` seeds
                nothing.
        """
        samples = []
        for index in indices:
            if isinstance(index, SeededIndex):
                seed_all(*index.key)
            samples.append(self.dataset[int(index)])
        return samples
