"""Lists the hooks that let a run be cut and go on."""
from __future__ import annotations

from mmengine.config import Config, ConfigDict

from .settings import type_name

# What a config's ``recovery`` switches, and the hook that does it.
RECOVERY: dict[str, str] = {
    'preemption': 'PreemptionHook',
    'randomness': 'SeededUpdatesHook',
    'watchdog': 'WatchdogHook',
}


def add_recovery_hooks(cfg: Config) -> None:
    """List the hooks of ``recovery`` that are not switched off.

    A hook that the config lists itself, with settings of its own, stays as it
    is.

    Args:
        cfg (Config): It is changed. Its ``recovery`` is a dict of switches, by
            the names of ``RECOVERY``; what is left out is on.

    Raises:
        ValueError: If ``recovery`` is no such dict.
    """
    stated = list(cfg.get('custom_hooks') or [])
    names = {type_name(hook) for hook in stated}
    cfg.custom_hooks = stated + [
        ConfigDict(type=hook) for name, hook in RECOVERY.items()
        if switched_on(cfg, name) and hook not in names
    ]


def switched_on(cfg: Config, name: str) -> bool:
    """Whether a config has a part of ``recovery``.

    Args:
        cfg (Config): Of a run.
        name (str): One of ``RECOVERY``.

    Raises:
        ValueError: If ``recovery`` is no dict of switches.
    """
    switches = cfg.get('recovery') or {}
    if not isinstance(switches, dict) or any(
            name not in RECOVERY or not isinstance(value, bool)
            for name, value in switches.items()):
        raise ValueError(
            f'recovery={switches!r} must be a dict of switches, True or '
            f'False, of {", ".join(RECOVERY)}')
    return switches.get(name, True)
