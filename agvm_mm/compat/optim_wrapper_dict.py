"""Tells an optimizer wrapper its name in an ``OptimWrapperDict``.

MMEngine 0.10 tells its children neither that they are in one nor under which
name. A name for the child, in ``OptimWrapperDict.__init__`` or
``initialize_count_status``, would let this go.
"""
from __future__ import annotations

import gc

from mmengine.optim import OptimWrapper, OptimWrapperDict


def name_in_dict(optim_wrapper: OptimWrapper) -> str | None:
    """The key of an optimizer wrapper in the ``OptimWrapperDict`` it is in.

    It looks through all objects of the process, so ask once.

    Args:
        optim_wrapper (OptimWrapper): The child.

    Returns:
        str or None: None if it is in none.
    """
    for holder in gc.get_objects():
        # By type: isinstance would wake up whatever stands in for another.
        if issubclass(type(holder), OptimWrapperDict):
            for name, child in holder.items():
                if child is optim_wrapper:
                    return name
    return None
