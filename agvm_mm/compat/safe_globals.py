"""What torch's safe loader is told to let through, and nothing that acts.

Five kinds: numpy's scalars and arrays of every plain dtype, as datasets put
them into ``dataset_meta``; plain types of Python that torch leaves out; the
``HistoryBuffer`` in which MMEngine keeps its logs; its ``ConfigDict``, which a
dict in a config's ``metainfo`` is; and the functions that these and
``OneCycleLR`` are pickled with. A dtype that holds Python objects, or other
dtypes, is not plain.

A MMEngine that saves nothing but tensors and plain values would let this go.
"""
from __future__ import annotations

import codecs
import pickle
from functools import lru_cache
from typing import Any, Callable

import numpy as np
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler import OneCycleParamScheduler

# The codes of all dtypes that hold numbers, text or times.
PLAIN_DTYPES = ''.join(c for c in np.typecodes['All'] if c not in 'OV')

# What a checkpoint holds as getattr(class, name): what MMEngine registers as
# statistics of a HistoryBuffer, and how a OneCycleLR anneals.
ATTRIBUTES = {
    HistoryBuffer: ('min', 'max', 'current', 'mean'),
    OneCycleParamScheduler: ('_annealing_cos', '_annealing_linear'),
}


def _getattr(owner: type, name: str) -> Callable:
    """Stand in for ``getattr``, for what MMEngine's pickles need.

    Raises:
        UnpicklingError: For any other attribute: with the builtin, a crafted
            file could reach whatever hangs on an allowed class.
    """
    if name not in ATTRIBUTES.get(owner, ()):
        raise pickle.UnpicklingError(
            f'getattr({getattr(owner, "__name__", owner)}, {name!r}) is asked '
            'for, which no checkpoint of MMEngine needs')
    return getattr(owner, name)


def _named(function: Callable, path: str) -> Callable:
    """A function that the safe loader knows by the name in a pickle."""

    def call(*args: Any) -> Any:
        return function(*args)

    call.__module__, _, call.__name__ = path.rpartition('.')
    call.__qualname__ = call.__name__
    return call


@lru_cache(None)
def safe_globals() -> list[Any]:
    """What a checkpoint of MMEngine holds beside tensors and plain values."""
    core: Any = getattr(np, '_core', None) or np.core
    return [
        *ATTRIBUTES,
        ConfigDict,
        _named(_getattr, 'builtins.getattr'),
        np.ndarray,
        np.dtype,
        # Each dtype has a class of its own.
        *dict.fromkeys(type(np.dtype(code)) for code in PLAIN_DTYPES),
        # numpy 1 and 2 write other names, and read each other's.
        *(_named(getattr(core.multiarray, name),
                 f'numpy.{package}.multiarray.{name}')
          for package in ('core', '_core')
          for name in ('_reconstruct', 'scalar')),
        # How bytes are written; torch itself allows it from 2.5 on.
        codecs.encode,
        # Of Python, some of them by torch itself from 2.5 on; an empty array
        # holds empty bytes.
        bytearray,
        bytes,
        complex,
        frozenset,
        set,
        range,
        slice,
    ]
