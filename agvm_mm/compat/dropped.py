"""Tells what of a checkpoint a run has no use for.

It is here for the engine and :mod:`.fsdp_state`, and goes with the latter.
"""
from __future__ import annotations

import logging
from typing import Sequence

from mmengine.logging import print_log


def tell_dropped(names: Sequence[str]) -> None:
    """Warn of optimizer state that is not loaded.

    Args:
        names (Sequence[str]): Of the parameters that this run does not train;
            nothing is said of none.
    """
    if names:
        print_log(
            f'The checkpoint holds the optimizer state of {len(names)} '
            f'parameters, {names[0]!r} among them, that this run does not '
            'train; it is dropped.',
            logger='current',
            level=logging.WARNING)
