"""Which optimizer wrappers an ``OptimWrapperDict`` holds, and by which name.

MMEngine 0.10 tells its children neither that they are in one nor under which
name, and a wrapper does not answer as a dict of one. A name for the child, in
``OptimWrapperDict.__init__`` or ``initialize_count_status``, and ``items`` of
``OptimWrapper`` would let this go.
"""
from __future__ import annotations

import gc
from typing import Any

from mmengine.optim import OptimWrapper, OptimWrapperDict


def wrappers_in(optim_wrapper: Any) -> dict[str | None, Any]:
    """The optimizer wrappers of a run.

    Args:
        optim_wrapper (OptimWrapper or OptimWrapperDict): Of a runner.

    Returns:
        dict[str | None, OptimWrapper]: By name; a single one has the name
        None.
    """
    return getattr(optim_wrapper, 'optim_wrappers', {None: optim_wrapper})


def name_in_dict(optim_wrapper: OptimWrapper) -> str | None:
    """The key of an optimizer wrapper in the ``OptimWrapperDict`` it is in.

    It asks the garbage collector, which looks through all objects of the
    process: some hundredths of a second, so ask once.

    Args:
        optim_wrapper (OptimWrapper): The child.

    Returns:
        str or None: None if it is in none.
    """
    for children in gc.get_referrers(optim_wrapper):
        if type(children) is dict and _is_of_optim_wrapper_dict(children):
            for name, child in children.items():
                if child is optim_wrapper:
                    return name
    return None


def _is_of_optim_wrapper_dict(children: dict) -> bool:
    if not all(isinstance(child, OptimWrapper) for child in children.values()):
        return False
    owners = gc.get_referrers(children)
    # Python before 3.11 keeps an object's attributes in a dict of its own.
    owners += [
        owner for attributes in owners if type(attributes) is dict
        for owner in gc.get_referrers(attributes)
    ]
    return any(
        isinstance(owner, OptimWrapperDict)
        and owner.optim_wrappers is children for owner in owners)
