"""Writes what AGVM measures into a run's log."""
from __future__ import annotations

import math
from typing import Container, Mapping

from mmengine.logging import MessageHub

BY_MODULE = ('variance', 'lr_scale', 'noise_scale')


def log_measurement(hub: MessageHub, name: str | None, scalars: Mapping[str,
                                                                        float],
                    by_module: Mapping[str, Mapping[str, float]]) -> None:
    """Write one measurement, as ``train/agvm/<quantity>/<module>``.

    Args:
        hub (MessageHub): The run's.
        name (str, optional): Of the optimizer wrapper, if it is one of
            several: modules are then ``<name>.<module>``, and scalars
            ``train/agvm/<quantity>/<name>``.
        scalars (Mapping[str, float]): Values of the whole update by quantity,
            as ``train/agvm/<quantity>``.
        by_module (Mapping[str, Mapping[str, float]]): Values by quantity and
            module. Those that are not finite are left out.
    """
    for quantity, values in by_module.items():
        for module, value in values.items():
            if math.isfinite(value):
                own = f'{name}.{module}' if name else module
                hub.update_scalar(f'train/agvm/{quantity}/{own}', value)
    for quantity, value in scalars.items():
        own = f'{quantity}/{name}' if name else quantity
        hub.update_scalar(f'train/agvm/{own}', value)


def forget(hub: MessageHub, name: str | None, kept: Container[str]) -> None:
    """Leave modules out of the lines to come, as of another run.

    MMEngine writes the last value of whatever was logged, and a resume brings
    what the earlier run logged.

    Args:
        hub (MessageHub): The run's.
        name (str, optional): See :func:`log_measurement`.
        kept (Container[str]): The modules that stay.
    """
    for key in list(hub.log_scalars):
        _, _, logged = key.partition('train/agvm/')
        quantity, _, module = logged.partition('/')
        if name is not None:
            child, _, module = module.partition(f'{name}.')
            if child or not module:
                continue
        if quantity in BY_MODULE and module not in kept:
            del hub.log_scalars[key]
