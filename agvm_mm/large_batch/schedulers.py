"""Builds a scheduler of a config, and tells its mistakes."""
from __future__ import annotations

import copy
from typing import Any

from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS


def build_scheduler(cfg: Config | dict, where: str, settings: dict,
                    **given: Any) -> Any:
    """A scheduler, as MMEngine's runner builds it.

    Args:
        cfg (Config or dict): Of the run, for its ``default_scope``.
        where (str): The scheduler is stated, for the message.
        settings (dict): What is stated; it is not changed.
        **given: What is not stated, as its ``optimizer`` and
            ``epoch_length``.

    Returns:
        _ParamScheduler: MMEngine's, or a user's own.

    Raises:
        ValueError: If it cannot be built.
    """
    settings = copy.deepcopy(dict(settings))
    settings.setdefault('_scope_', cfg.get('default_scope') or 'mmengine')
    try:
        scheduler = PARAM_SCHEDULERS.build(settings, default_args=given)
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        told = ' '.join(str(error).split())
        raise ValueError(f'{where} cannot be built: '
                         f'{type(error).__name__}: {told}') from error
    if getattr(scheduler, 'start_factor', None) == 0:
        raise ValueError(f'{where}.start_factor=0 would end in a division by '
                         'zero when it is stepped: set a small one, as 0.001')
    return scheduler
