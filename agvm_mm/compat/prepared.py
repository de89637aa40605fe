"""Makes a checkpoint ready for MMEngine's runners, whatever it is.

It goes with :mod:`.checkpoint` and :mod:`.shards`.
"""
from __future__ import annotations

import os

from .checkpoint import allow_mmengine_checkpoints, check_checkpoint


def prepared(filename: str) -> str:
    """Make a checkpoint ready to be loaded by a runner.

    Args:
        filename (str): A file, a folder of shards, or an address.

    Returns:
        str: By which name the runner is to load it.

    Raises:
        ValueError: If it cannot be loaded.
    """
    filename = os.path.expanduser(filename)
    check_checkpoint(filename)
    if os.path.isdir(filename):
        # It is heavy.
        from .shards import let_runners_load

        let_runners_load(filename)
    allow_mmengine_checkpoints()
    return filename
