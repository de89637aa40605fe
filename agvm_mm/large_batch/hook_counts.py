"""Hooks that count iterations, and are meant to count updates."""
from __future__ import annotations

import math
from typing import Any, Iterator

from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.registry import HOOKS

from . import known
from .settings import as_count, type_name

# What MMEngine calls around an iteration of a training.
AROUND_AN_ITERATION = ('before_train_iter', 'after_train_iter', '_before_iter',
                       '_after_iter')


def multiply(settings: dict,
             key: str,
             to: int,
             of: int,
             default: int | None = None) -> None:
    """Multiply a count by ``to / of``, rounded up.

    Args:
        settings (dict): It is changed, where ``key`` is a count, perhaps
            written as 5e3. A negative one switches something off; others, as
            'epoch', name it.
        key (str): Of the count.
        to (int): What it is multiplied by.
        of (int): What it is divided by.
        default (int, optional): Where ``key`` is left out. Defaults to None.
    """
    count = as_count(settings.get(key, default))
    if isinstance(count, int) and count > 0:
        settings[key] = math.ceil(count * to / of)


def rescale_hooks(cfg: Config, accumulation: int, earlier: int) -> None:
    """Let hooks that count iterations count as many updates.

    Args:
        cfg (Config): It is changed.
        accumulation (int): The ``accumulative_counts`` of this run.
        earlier (int): The ``accumulative_counts`` that it was written for.

    Raises:
        ValueError: If such a hook is built already.
    """
    if accumulation != earlier:
        # MMEngine's own default, which counts too.
        cfg.default_hooks.setdefault('logger', ConfigDict(type='LoggerHook'))
    for where, hook in hooks_of(cfg):
        name = type_name(hook)
        if not isinstance(hook, dict):
            if accumulation > 1 and (name in known.HOOK_COUNTS
                                     or name == 'EMAHook'):
                raise ValueError(
                    f'{where}={hook!r} counts iterations, and is built '
                    'already, so that it cannot be set to '
                    f'accumulative_counts={accumulation}: state it as a dict '
                    f"with type='{name}'")
            continue
        if name in ('EMAHook', 'UpdateEMAHook'):
            hook['type'] = 'UpdateEMAHook'
            hook['accumulative_counts'] = accumulation
            continue
        if accumulation == earlier:
            continue
        if name in known.BY_EPOCH and hook.get('by_epoch', True):
            continue
        for key, default in known.HOOK_COUNTS.get(name, {}).items():
            multiply(hook, key, accumulation, earlier, default)


def hooks_of(cfg: Config) -> Iterator[tuple[str, Any]]:
    """The hooks of a config, and where each is stated.

    Args:
        cfg (Config): Of a run.

    Yields:
        tuple[str, Any]: As ``('custom_hooks[0]', settings)``; a hook that is
        built already instead of its settings.
    """
    for key, hook in (cfg.get('default_hooks') or {}).items():
        if hook is not None:
            yield f'default_hooks.{key}', hook
    for index, hook in enumerate(cfg.get('custom_hooks') or []):
        yield f'custom_hooks[{index}]', hook


def step_by_update(cfg: Config, accumulation: int) -> None:
    """Put our hook in the place of MMEngine's that steps the schedulers.

    Args:
        cfg (Config): It is changed.
        accumulation (int): The ``accumulative_counts`` of this run.

    Raises:
        ValueError: If the config steps them in a way of its own.
    """
    if cfg.get('default_hooks') is None:
        cfg.default_hooks = ConfigDict()
    own = cfg.default_hooks.get('param_scheduler', {})
    stepping = 'ParamSchedulerHook', 'UpdateParamSchedulerHook'
    for where, hook in hooks_of(cfg):
        default = where == 'default_hooks.param_scheduler'
        if default != (type_name(hook) in stepping):
            raise ValueError(
                f'{where}={hook!r} beside total_batch_size='
                f'{cfg.total_batch_size}: UpdateParamSchedulerHook is to take '
                'its place, and steps the schedulers once an update. Leave it '
                'out, and state what it does in param_scheduler')
    if own is None and cfg.get('param_scheduler'):
        raise ValueError(
            'default_hooks.param_scheduler=None beside total_batch_size='
            f'{cfg.total_batch_size}: nothing would step param_scheduler. '
            'Leave out the one or the other')
    kept = own if isinstance(own, dict) else {}
    cfg.default_hooks.param_scheduler = ConfigDict({
        **kept, 'type':
        'UpdateParamSchedulerHook',
        'accumulative_counts':
        accumulation
    })


def unknown_hooks(cfg: Config) -> list[str]:
    """The hooks that act on iterations, and of which no more is known.

    Args:
        cfg (Config): Of a run.

    Returns:
        list[str]: As ``'custom_hooks[0] (MyHook)'``.
    """
    found = []
    for where, hook in hooks_of(cfg):
        name = type_name(hook)
        kind = None if name in known.HOOKS else _class_of(hook, cfg)
        if kind is not None and any(
                getattr(kind, method, None) is not getattr(Hook, method)
                for method in AROUND_AN_ITERATION):
            found.append(f'{where} ({name})')
    return found


def _class_of(hook: Any, cfg: Config) -> type | None:
    """The class of a hook; None where building it is going to fail."""
    kind = hook.get('type') if isinstance(hook, dict) else type(hook)
    if not isinstance(kind, str):
        return kind
    try:
        with HOOKS.switch_scope_and_registry(
                cfg.get('default_scope') or 'mmengine') as registry:
            return registry.get(kind)
    except (ImportError, KeyError, AttributeError) as error:
        MMLogger.get_current_instance().debug(f'{kind}: {error}')
        return None
