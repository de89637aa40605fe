"""Lists the hooks that let a run be cut and go on."""
from __future__ import annotations

from mmengine.config import Config, ConfigDict

from .hook_counts import hooks_of
from .settings import type_name

# What a config's ``recovery`` switches, and the hook that does it.
RECOVERY: dict[str, str] = {
    'preemption': 'PreemptionHook',
    'randomness': 'SeededUpdatesHook',
    'watchdog': 'WatchdogHook',
}
# The same of hooks that take the place of one of MMEngine's.
REPLACED = dict(
    checkpoints=('CheckpointHook', 'SafeCheckpointHook'),
    early_stopping=('EarlyStoppingHook', 'ResumedEarlyStoppingHook'))


def add_recovery_hooks(cfg: Config) -> None:
    """List the hooks of ``recovery`` that are not switched off.

    A hook that the config lists itself, with settings of its own, stays as it
    is.

    Args:
        cfg (Config): It is changed. Its ``recovery`` is a dict of switches, by
            the names of ``RECOVERY`` and ``REPLACED``; what is left out is on.

    Raises:
        ValueError: If ``recovery`` is no such dict.
    """
    stated = list(cfg.get('custom_hooks') or [])
    names = {type_name(hook) for hook in stated}
    cfg.custom_hooks = stated + [
        ConfigDict(type=hook) for name, hook in RECOVERY.items()
        if switched_on(cfg, name) and hook not in names
    ]
    # MMEngine's own default.
    cfg.setdefault('default_hooks', ConfigDict())
    cfg.default_hooks.setdefault('checkpoint',
                                 ConfigDict(type='CheckpointHook', interval=1))
    for name, (theirs, ours) in REPLACED.items():
        for _, hook in hooks_of(cfg):
            if (switched_on(cfg, name) and isinstance(hook, dict)
                    and type_name(hook) == theirs):
                hook['type'] = ours


def switched_on(cfg: Config, name: str) -> bool:
    """Whether a config has a part of ``recovery``.

    Args:
        cfg (Config): Of a run.
        name (str): One of ``RECOVERY`` or ``REPLACED``.

    Raises:
        ValueError: If ``recovery`` is no dict of switches.
    """
    known = {**RECOVERY, **REPLACED}
    switches = cfg.get('recovery') or {}
    if not isinstance(switches, dict) or any(
            name not in known or not isinstance(value, bool)
            for name, value in switches.items()):
        raise ValueError(
            f'recovery={switches!r} must be a dict of switches, True or '
            f'False, of {", ".join(known)}')
    return switches.get(name, True)
