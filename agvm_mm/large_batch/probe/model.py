"""The settings of a model that is built to be thrown away."""
from __future__ import annotations

import copy
from typing import Any

from ..settings import type_name


def without_files(settings: Any) -> Any:
    """A model's settings, less the weights that it would load.

    Weights change nothing of the memory, and take time.

    Args:
        settings (dict): The ``model`` of a config. It is not changed.
    """
    if isinstance(settings, dict):
        kept = {
            key: without_files(value)
            for key, value in settings.items() if key != 'pretrained'
        }
        if 'init_cfg' in kept:
            kept['init_cfg'] = _initial(settings['init_cfg'])
        return type(settings)(kept)
    if isinstance(settings, (list, tuple)):
        return type(settings)(map(without_files, settings))
    return copy.deepcopy(settings)


def at_its_largest(settings: dict) -> dict:
    """A model's settings, which resize each batch to the largest size.

    Args:
        settings (dict): The ``model`` of a config. It is not changed.
    """
    settings = copy.deepcopy(settings)
    preprocessor = settings.get('data_preprocessor') or {}
    for augment in preprocessor.get('batch_augments') or []:
        if type_name(augment) == 'BatchSyncRandomResize':
            largest = max(augment['random_size_range'])
            augment.update(
                random_size_range=(largest, largest), interval=1)
    return settings


def _initial(init_cfg: Any) -> Any:
    """What initialises weights without a file."""
    listed = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]
    kept = [item for item in listed if type_name(item) != 'Pretrained']
    if kept == list(listed):
        return copy.deepcopy(init_cfg)
    return copy.deepcopy(kept) or None
