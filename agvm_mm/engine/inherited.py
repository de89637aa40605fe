"""Refuses what a config inherits and its own ``optim_wrapper`` cannot take.

MMEngine merges dicts key by key. A config that sets the type of a wrapper, an
optimizer or a constructor keeps every other key of the config below it, meant
for what it has replaced.
"""
from __future__ import annotations

import difflib
import inspect
from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor

# What MMEngine's own constructor reads of a paramwise_cfg; it takes no notice
# of others.
PARAMWISE_KEYS = ('custom_keys', 'bias_lr_mult', 'bias_decay_mult',
                  'norm_decay_mult', 'flat_decay_mult', 'dwconv_decay_mult',
                  'dcn_offset_lr_mult', 'bypass_duplicate')
# MMEngine marks what comes from another library's config by its scope.
MARKS = {'type', '_scope_'}
OF_MIXED_PRECISION = ('loss_scale', 'dtype', 'use_fsdp')


def check_wrapper_keys(kind: type | None, settings: dict) -> None:
    """Refuse what a wrapper of this package takes as nothing.

    Args:
        kind (type, optional): Of the wrapper; None if it is not registered.
        settings (dict): The ``optim_wrapper`` of a config.

    Raises:
        ValueError: That names the key.
    """
    if kind is None or not kind.__module__.startswith('agvm_mm.'):
        return  # Others may take what their signatures do not tell.
    known = MARKS.union(*(
        inspect.signature(base.__init__).parameters  # type: ignore[misc]
        for base in kind.__mro__))
    for key in settings:
        if key in known:
            continue
        near = difflib.get_close_matches(key, known, n=1)
        mend = f'did you mean {near[0]}?' if near else 'leave it out'
        if key in OF_MIXED_PRECISION:
            mend = ('it is of mixed precision, which the config below may '
                    "have: set type='AGVMAmpOptimWrapper'")
        raise ValueError(
            f'optim_wrapper.{key} is unknown to {kind.__name__}: {mend}')


def check_optimizer_keys(base: Any, kind: Any, settings: dict) -> None:
    """Refuse what an optimizer does not take, as another's betas.

    Args:
        base (type): The constructor below AGVM's. One that builds by itself
            may take a key for its own, as mmyolo's ``batch_size_per_gpu``,
            and nothing is refused.
        kind (type): Of the optimizer.
        settings (dict): The ``optim_wrapper.optimizer`` of a config.

    Raises:
        ValueError: That names the key.
    """
    arguments = inspect.signature(kind).parameters
    plain = DefaultOptimWrapperConstructor
    builds = (base.__init__, base.__call__) != (plain.__init__, plain.__call__)
    if builds or any(a.kind is a.VAR_KEYWORD for a in arguments.values()):
        return
    for key in settings:
        if key not in MARKS and key not in arguments:
            raise ValueError(
                f'optim_wrapper.optimizer.{key} is unknown to '
                f'{kind.__name__}. MMEngine merges this dict with that of the '
                'config below: to keep the optimizer of that config, leave '
                'type out; to replace it, write '
                f"optimizer=dict(_delete_=True, type='{kind.__name__}', ...)")


def check_paramwise_keys(base: Any, settings: Any, optimizer: dict) -> None:
    """Refuse what is meant for what AGVM or another optimizer has replaced.

    Args:
        base (type): The constructor below AGVM's.
        settings (dict, optional): The ``paramwise_cfg`` of a config.
        optimizer (dict): The ``optim_wrapper.optimizer`` of a config.

    Raises:
        ValueError: That names the key.
    """
    if (base is not DefaultOptimWrapperConstructor
            or not isinstance(settings, dict)):
        return
    for key in settings:
        # mmpretrain writes '_delete' for '_delete_', without effect.
        if key not in PARAMWISE_KEYS and not str(key).startswith('_'):
            near = difflib.get_close_matches(str(key), PARAMWISE_KEYS, n=1)
            mend = f'did you mean {near[0]}? ' if near else ''
            raise ValueError(
                f'optim_wrapper.paramwise_cfg.{key} is unknown to '
                f'DefaultOptimWrapperConstructor: {mend}If the config below '
                'states a constructor of its own, which reads it, name that '
                'one, as agvm=dict(base_constructor='
                "'LearningRateDecayOptimizerConstructor')")
    # Without one MMEngine takes no notice of flat_decay_mult.
    asked = {k: v for k, v in settings.items() if k != 'flat_decay_mult'}
    if optimizer.get('weight_decay') is None and 'decay_mult' in str(asked):
        raise ValueError(
            'optim_wrapper.paramwise_cfg multiplies a weight decay, but '
            'optim_wrapper.optimizer.weight_decay is not set: set it, or '
            'replace the paramwise_cfg of the config below by '
            'paramwise_cfg=dict(_delete_=True)')
