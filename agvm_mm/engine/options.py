"""The options of ``optim_wrapper.agvm``, and their checks."""
from __future__ import annotations

import difflib
import math
from typing import Any

ESTIMATORS = ('replica', 'half_batch')
# The keys of agvm=dict(...).
AGVM_OPTIONS = dict(
    begin='auto',
    end=None,
    interval=10,
    anchor='backbone',
    momentum=0.97,
    estimator='replica',
    ratio_range=(0.5, 10.0),
    modules=None,
    base_constructor='DefaultOptimWrapperConstructor')


def checked_options(agvm: dict) -> dict:
    """Check the options of AGVM, and fill in their defaults.

    Args:
        agvm (dict): As the user gives it:

            - begin (int or 'auto'): The first update to be measured. Defaults
              to 'auto', the end of the warm-up that the config's schedulers
              state, + 100.
            - end (int, optional): The first update to be left alone again.
              Defaults to None, never.
            - interval (int): tau, updates between two measurements. Defaults
              to 10; the paper takes 5 above batch 1024.
            - anchor (str): The module with which the others are aligned, or
              the last part of its name; see
              :func:`~agvm_mm.algorithm.modulator.find_anchor`. Defaults to
              'backbone'.
            - momentum (float): alpha, of the moving average of the factors,
              in [0, 1). Defaults to 0.97.
            - estimator (str): 'replica', over all equal splits of the
              replicas, or 'half_batch', the paper's. Defaults to 'replica'.
            - ratio_range (tuple[float, float]): Where the ratio of variances
              is clipped to. Defaults to (0.5, 10.0).
            - modules (dict[str, str or list[str]], optional): Names of the
              user's own; see
              :func:`~agvm_mm.algorithm.partition.assign_modules`. Defaults to
              None.
            - base_constructor (str or type): The user's own constructor, by
              name or the class. Defaults to 'DefaultOptimWrapperConstructor'.

    Returns:
        dict: Every option of :data:`AGVM_OPTIONS`.

    Raises:
        ValueError: If an option is unknown or out of its range.
    """
    if not isinstance(agvm, dict):
        raise ValueError('optim_wrapper.agvm must be a dict of AGVM options, '
                         f'as agvm=dict(begin=560), but got {agvm!r}')
    for key in agvm:
        if key not in AGVM_OPTIONS:
            near = difflib.get_close_matches(str(key), AGVM_OPTIONS, n=1)
            hint = f'did you mean {near[0]!r}? ' if near else ''
            raise ValueError(f'agvm.{key} is no option of AGVM; {hint}The '
                             f'options are {", ".join(AGVM_OPTIONS)}')
    options = {**AGVM_OPTIONS, **agvm}
    _require(options['begin'] == 'auto' or is_int(options['begin'], 0),
             options, 'begin', "an int >= 0, or 'auto'")
    _require(options['end'] is None or is_int(options['end'], 0), options,
             'end', 'None or an int >= 0')
    _require(
        is_int(options['interval'], 1), options, 'interval', 'an int >= 1')
    _require(
        _is_number(options['momentum']) and 0 <= options['momentum'] < 1,
        options, 'momentum', 'a number in [0, 1)')
    _require(
        isinstance(options['anchor'], str), options, 'anchor',
        "a module's name")
    _require(options['estimator'] in ESTIMATORS, options, 'estimator',
             f'one of {ESTIMATORS}')
    bounds = options['ratio_range']
    _require(
        isinstance(bounds, (list, tuple)) and len(bounds) == 2
        and all(map(_is_number, bounds)) and 0 < bounds[0] <= bounds[1],
        options, 'ratio_range', 'two numbers with 0 < low <= high')
    return options


def _require(condition: bool, options: dict, key: str, wanted: str) -> None:
    if not condition:
        raise ValueError(
            f'agvm.{key}={options[key]!r} is not allowed: it must be {wanted}')


def is_int(value: Any, low: int) -> bool:
    """Whether a value is an int, which a bool is not, from ``low`` on."""
    return (isinstance(value, int) and not isinstance(value, bool)
            and value >= low)


def _is_number(value: Any) -> bool:
    return (isinstance(value, (int, float)) and not isinstance(value, bool)
            and math.isfinite(value))
