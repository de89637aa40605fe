"""Parts of models that count iterations, and are meant to count updates."""
from __future__ import annotations

from typing import Any

from mmengine.config import Config

from . import known
from .hook_counts import multiply
from .settings import type_name


def rescale_model(cfg: Config, accumulation: int, earlier: int) -> None:
    """Let the parts of a model that count iterations count as many updates.

    Args:
        cfg (Config): It is changed. A model that is built already is left as
            it is.
        accumulation (int): The ``accumulative_counts`` of this run.
        earlier (int): The ``accumulative_counts`` that it was written for.
    """
    if accumulation != earlier:
        _rescale(cfg.get('model'), accumulation, earlier)


def _rescale(settings: Any, accumulation: int, earlier: int) -> None:
    if isinstance(settings, (list, tuple)):
        for child in settings:
            _rescale(child, accumulation, earlier)
    if not isinstance(settings, dict):
        return
    counts = known.MODEL_COUNTS.get(type_name(settings), {})
    # Dynamic R-CNN's, which has no type.
    for key, default in {'update_iter_interval': None, **counts}.items():
        multiply(settings, key, accumulation, earlier, default)
    for child in list(settings.values()):
        _rescale(child, accumulation, earlier)
