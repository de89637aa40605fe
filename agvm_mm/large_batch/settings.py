"""Reads the settings of a config that this package works with."""
from __future__ import annotations

import inspect
from typing import Any

from mmengine.config import Config
from mmengine.registry import OPTIM_WRAPPERS

AUTO = 'auto'  # of max_samples_per_gpu


def type_name(settings: Any) -> str:
    """The bare name of a ``type`` that may be a name, a path or a class.

    Args:
        settings (dict or object, optional): Of a hook, a sampler or a wrapper;
            what is built already has its class's name.
    """
    if settings is None:
        return ''
    built = not isinstance(settings, dict)
    kind = type(settings) if built else settings.get('type', '')
    name = kind if isinstance(kind, str) else getattr(
        kind, '__name__', str(kind))
    return name.rpartition('.')[2]


def wrappers_of(cfg: Config | dict) -> dict[str | None, dict]:
    """The optimizer wrappers of a config.

    Args:
        cfg (Config or dict): Of a run.

    Returns:
        dict[str | None, dict]: Their settings by name, as a constructor of an
        ``OptimWrapperDict`` takes them; a single one has the name None. Empty
        if it is built already.
    """
    settings: Any = cfg.get('optim_wrapper') or {}
    if not isinstance(settings, dict):
        return {}
    children: dict[str | None, dict] = {
        name: child
        for name, child in settings.items()
        if isinstance(child, dict) and 'optimizer' in child
    }
    return children if children and 'optimizer' not in settings else {
        None: settings
    }


def optimizer_of(wrapper: dict) -> dict:
    """The optimizer of a wrapper.

    Args:
        wrapper (dict): Of :func:`wrappers_of`.

    Raises:
        ValueError: If it states none.
    """
    optimizer = wrapper.get('optimizer')
    if not isinstance(optimizer, dict):
        raise ValueError(
            'optim_wrapper.optimizer must be a dict, as '
            f"optimizer=dict(type='SGD', lr=0.02), but got {optimizer!r}")
    return optimizer


def with_agvm(cfg: Config | dict) -> bool:
    """Whether any optimizer wrapper of a config has AGVM.

    Args:
        cfg (Config or dict): Of a run.
    """
    return any('agvm' in wrapper for wrapper in wrappers_of(cfg).values())


def measures(wrapper: dict) -> bool:
    """Whether a wrapper has AGVM, and does not switch it off by ``end=0``.

    Args:
        wrapper (dict): The settings of an optimizer wrapper.
    """
    agvm = wrapper.get('agvm', dict(end=0))
    return not isinstance(agvm, dict) or agvm.get('end') != 0


def schedulers_of(cfg: Config | dict,
                  name: str | None = None) -> list[tuple[str, dict]]:
    """The schedulers of a config, and where each is stated.

    Args:
        cfg (Config or dict): Of a run.
        name (str, optional): Of the optimizer wrapper, where schedulers are
            stated by name. Defaults to None, those of all.

    Returns:
        list[tuple[str, dict]]: As ``('param_scheduler[0]', settings)``.
    """
    stated: Any = cfg.get('param_scheduler') or []
    if not isinstance(stated, dict) or 'type' in stated:
        stated = {'': stated}
    elif name is not None:
        stated = {name: stated.get(name) or []}
    found = []
    for key, schedulers in stated.items():
        where = f'param_scheduler.{key}' if key else 'param_scheduler'
        if not isinstance(schedulers, (list, tuple)):
            schedulers = [schedulers]
        # What is built already is not for us to read.
        found += [(f'{where}[{index}]', settings)
                  for index, settings in enumerate(schedulers)
                  if isinstance(settings, dict)]
    return found


def counts_updates(cfg: Config | dict) -> bool:
    """Whether schedulers that count iterations step once an update.

    They do in a config that :func:`~agvm_mm.large_batch.resolve` returned.

    Args:
        cfg (Config or dict): Of a run.
    """
    hooks = cfg.get('default_hooks')
    hook = hooks.get('param_scheduler') if isinstance(hooks, dict) else None
    return (isinstance(hook, dict)
            and type_name(hook) == 'UpdateParamSchedulerHook')


def finds_samples(cfg: Config | dict) -> bool:
    """Whether the most samples of a process are to be found at the start.

    Args:
        cfg (Config or dict): Of a run.
    """
    return cfg.get('max_samples_per_gpu') == AUTO


def as_count(value: Any) -> Any:
    """A count as an int, where it is written as ``1e4``.

    MMEngine takes such a number for what it means.

    Args:
        value (object): What a setting states.

    Returns:
        object: An int for a float without a fraction, else the value.
    """
    whole = isinstance(value, float) and value.is_integer()
    return int(value) if whole else value


def check_count(field: str, value: Any) -> None:
    """Refuse a number of things that is none.

    Args:
        field (str): The setting's name.
        value (object): What it states.

    Raises:
        ValueError: If it is no int >= 1.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f'{field}={value!r} must be an int >= 1')


def check_number(field: str, value: Any) -> None:
    """Refuse what is to follow the total batch, and is no number.

    Args:
        field (str): The setting's name.
        value (object): What it states.

    Raises:
        ValueError: If it is no number >= 0.
    """
    if (not isinstance(value, (int, float)) or isinstance(value, bool)
            or not value >= 0):
        raise ValueError(f'{field}={value!r} must be a number >= 0')


def check_accumulates(wrapper: dict) -> None:
    """Refuse a wrapper in whose place its strategy accumulates.

    Args:
        wrapper (dict): Of :func:`wrappers_of`.

    Raises:
        ValueError: If its class takes no ``accumulative_counts``.
    """
    kind = wrapper.get('type', 'OptimWrapper')
    kind = OPTIM_WRAPPERS.get(kind) if isinstance(kind, str) else kind
    if kind is None or not inspect.isclass(kind):
        return  # The registry tells, when it is built.
    taken = [
        parameter for step in kind.__mro__ if '__init__' in vars(step)
        for parameter in inspect.signature(step.__init__).parameters.values()
    ]
    if not any(parameter.name == 'accumulative_counts' for parameter in taken):
        raise ValueError(
            f'optim_wrapper.type={type_name(wrapper)!r} takes no '
            'accumulative_counts, so that no total_batch_size can be kept: '
            'leave total_batch_size out and split by hand (DeepSpeed: '
            'strategy.gradient_accumulation_steps)')


def check_settings(cfg: Config | dict) -> None:
    """Refuse what :func:`~agvm_mm.large_batch.resolve` could not change.

    What MMEngine takes as None, it takes too.

    Args:
        cfg (Config or dict): Of a run.

    Raises:
        ValueError: If a setting is not what can be changed. It names it.
    """
    loader: Any = cfg.get('train_dataloader')
    sampler = loader.get('sampler') if isinstance(loader, dict) else {}
    settings: Any = (
        ('train_dataloader', loader, dict),
        ('train_dataloader.sampler', sampler, dict),
        ('train_cfg', cfg.get('train_cfg'), dict),
        ('default_hooks', cfg.get('default_hooks') or {}, dict),
        ('custom_hooks', cfg.get('custom_hooks') or [], (list, tuple)),
        ('auto_scale_lr', cfg.get('auto_scale_lr') or {}, dict),
    )
    for field, value, kinds in settings:
        if not isinstance(value, kinds):
            kind = 'dict' if kinds is dict else 'list'
            raise ValueError(
                f'{field}={value!r} must be a {kind} of settings beside '
                f'total_batch_size={cfg.get("total_batch_size")}, because '
                'what counts samples or iterations in it follows from the '
                'number of processes')
    if cfg.get('max_samples_per_gpu') is None and not loader.get('batch_size'):
        raise ValueError(
            'train_dataloader.batch_size is not set: set it to the most '
            'samples that a process takes at once')
