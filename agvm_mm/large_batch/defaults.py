"""What a class takes where a config leaves a setting out."""
from __future__ import annotations

import inspect
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry


def defaults_of(kind: Any, registry: Registry, cfg: Config | dict) -> dict:
    """The defaults of the class that a ``type`` names.

    Args:
        kind (str or type): Of a config.
        registry (Registry): Where its name is looked up.
        cfg (Config or dict): Of the run, for its ``default_scope``.

    Returns:
        dict: By the name of the argument. Empty if there is no such class:
        whoever builds it says so.
    """
    if isinstance(kind, str):
        with registry.switch_scope_and_registry(
                cfg.get('default_scope') or 'mmengine') as scoped:
            kind = scoped.get(kind)
    arguments = inspect.signature(kind).parameters if kind else {}
    return {
        name: argument.default
        for name, argument in arguments.items()
        if argument.default is not argument.empty
    }
