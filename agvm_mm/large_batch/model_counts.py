"""Parts of models that count iterations, and are meant to count updates."""
from __future__ import annotations

from typing import Any

from mmengine.config import Config

from . import known
from .hook_counts import multiply
from .settings import type_name


def rescale_model(cfg: Config, to: int, of: int) -> None:
    """Multiply what parts of a model count by ``to / of``, rounded up.

    Args:
        cfg (Config): It is changed. A model that is built already is left as
            it is.
        to (int): What a count is multiplied by.
        of (int): What it is divided by.
    """
    if to != of:
        _rescale(cfg.get('model'), to, of)


def _rescale(settings: Any, to: int, of: int) -> None:
    if isinstance(settings, (list, tuple)):
        for child in settings:
            _rescale(child, to, of)
    if not isinstance(settings, dict):
        return
    counts = known.MODEL_COUNTS.get(type_name(settings), {})
    # Dynamic R-CNN's, which has no type.
    for key, default in {'update_iter_interval': None, **counts}.items():
        multiply(settings, key, to, of, default)
    for child in list(settings.values()):
        _rescale(child, to, of)
