"""What two runs' numbers say beside each other: one function a rule.

As in verdicts.py, which judges a run alone.
"""
from __future__ import annotations

from typing import Any

# Settings that two runs of one config have each for itself.
OWN = {'work_dir', 'launcher', 'load_from', 'resume', 'visualizer'}
# What runs of one seed each leave open.
ONE_RUN_EACH = ('These are single runs: two seeds of one config may differ as '
                'much, and so may the speed of one machine in two hours.')


def metrics_apart(metric: str, titles: tuple[str, str],
                  finals: tuple[float | None, float | None]) -> str | None:
    """How two runs' metrics came out.

    Args:
        metric (str): Its name.
        titles (tuple[str, str]): Of the runs.
        finals (tuple[float | None, float | None]): Their last values.
    """
    first, second = finals
    if first is None or second is None:
        return None
    return (f'{metric} at the end: {second:.4g} in {titles[1]}, {first:.4g} '
            f'in {titles[0]} ({second - first:+.3g}).')


def speeds_apart(titles: tuple[str, str],
                 speeds: tuple[float | None, float | None]) -> str | None:
    """How fast two runs were.

    Args:
        titles (tuple[str, str]): Of the runs.
        speeds (tuple[float | None, float | None]): Their images a second.
    """
    first, second = speeds
    if first is None or second is None:
        return None
    return (f'Images a second: {second:.3g} in {titles[1]}, {first:.3g} in '
            f'{titles[0]} ({second / first - 1:+.1%}).')


def differences(first: dict, second: dict) -> dict[str, tuple[Any, Any]]:
    """The settings in which two configs differ.

    Args:
        first (dict): Of a run.
        second (dict): Of the other.

    Returns:
        dict[str, tuple]: Both values of each, by the setting's name, as
        ``optim_wrapper.optimizer.lr``; None where there is none.
    """
    one, other = _flat(first), _flat(second)
    return {
        name: (one.get(name), other.get(name))
        for name in {
            **one,
            **other
        } if one.get(name) != other.get(name) and name.split('.')[0] not in OWN
    }


def _flat(settings: dict, prefix: str = '') -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            found.update(_flat(value, f'{prefix}{key}.'))
        else:
            found[f'{prefix}{key}'] = value
    return found
