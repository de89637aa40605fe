"""An optimizer's state, from one grouping of its parameters to another.

Torch numbers the parameters of a saved optimizer in the order of its groups.
A run without AGVM, or with other modules, groups them otherwise, so a saved
state is renumbered by the parameters' names before it is loaded.
"""
from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator, List, Mapping, Sequence

import torch
from torch.optim import Optimizer

from agvm_mm.compat.dropped import tell_dropped

from .regroup import NAMES

Layout = List[List[str]]
MEND = 'Load only its weights: set load_from, and no --resume'
KEEP = f'leave optim_wrapper.paramwise_cfg as it was. Or: {MEND}'
LABELS = ('params', 'module', NAMES)  # of a group, beside its settings


def to_layout(state_dict: dict,
              ours: Layout | None,
              theirs: Layout | None,
              groups: Sequence[dict] = ()) -> dict:
    """Bring an optimizer's state to the order of other parameter groups.

    Args:
        state_dict (dict): An optimizer's state; it is not changed.
        ours (list[list[str]], optional): The parameters' names, group by
            group, to bring it to.
        theirs (list[list[str]], optional): The names as it was saved.
        groups (Sequence[dict]): Those of this run's optimizer, before it
            loads the state. Defaults to none, which are not compared.

    Returns:
        dict: The state, and whatever else ``state_dict`` holds, with each
        group's hyper-parameters from the saved group of its parameters. As it
        is where either side's names are not known.

    Raises:
        ValueError: If the state is one of other parameters, or if its groups
            have other settings apart than this run's.
    """
    if ours is None or theirs is None or ours == theirs:
        return state_dict

    saved_groups = state_dict['param_groups']
    wanted = [len(names) for names in theirs]
    found = [len(group['params']) for group in saved_groups]
    if found != wanted:
        raise ValueError(
            'The checkpoint holds the state of another optimizer: its groups '
            f'have {found} parameters, where {wanted} were expected. {MEND}')
    saved = {
        name: (index, group)
        for names, group in zip(theirs, saved_groups)
        for name, index in zip(names, group['params'])
    }
    numbers = {index for index, _ in saved.values()}
    missing = [name for names in ours for name in names if name not in saved]
    if missing:
        raise ValueError(
            f'The checkpoint holds no optimizer state of {len(missing)} '
            f'parameters, {missing[0]!r} among them. {MEND}')
    kept = {name for names in ours for name in names}
    tell_dropped([
        name for name, (index, _) in saved.items()
        if name not in kept and index in state_dict['state']
    ])

    _check_settings({name: group
                     for name, (_, group) in saved.items()}, ours, groups)

    # What is no parameter's, as a count of all steps, has no number.
    own = {k: v for k, v in state_dict['state'].items() if k not in numbers}
    converted = dict(state_dict, state=own, param_groups=[])
    labels = {
        name: label
        for names, group in zip(theirs, saved_groups)
        if len(group.get(NAMES, ())) == len(names)
        for name, label in zip(names, group[NAMES])
    }
    index = 0
    for names in ours:
        group = dict(
            saved[names[0]][1], params=list(range(index, index + len(names))))
        group.pop(NAMES, None)
        if all(name in labels for name in names):
            group[NAMES] = [labels[name] for name in names]
        converted['param_groups'].append(group)
        for name in names:
            state = state_dict['state'].get(saved[name][0])
            if state is not None:
                converted['state'][index] = state
            index += 1
    return converted


@contextmanager
def of_one_kind(optimizer: Optimizer) -> Iterator[None]:
    """Refuse what is loaded within, if it is of an optimizer of another kind.

    Torch takes the saved groups as they are, and the first step would fail.

    Args:
        optimizer (Optimizer): It loads a state. What that lacks because it was
            saved by an older version is added.

    Raises:
        ValueError: If a group lacks a setting that all groups had before, and
            that is more than a switch.
    """
    # Before: torch adds some to the defaults of any optimizer that loads.
    ours = {key for group in optimizer.param_groups for key in group}
    settings = {
        key: value
        for key, value in optimizer.defaults.items()
        if all(key in group for group in optimizer.param_groups)
    }
    yield
    missing = {
        key: value
        for key, value in settings.items()
        if not all(key in group for group in optimizer.param_groups)
    }
    foreign = any(
        isinstance(value, (float, tuple)) and key not in ours
        and not key.startswith('initial_')  # a scheduler's
        for group in optimizer.param_groups for key, value in group.items())
    switches = all(
        isinstance(value, (bool, type(None))) for value in missing.values())
    if missing and (foreign or not switches):
        raise ValueError(
            'The checkpoint holds the state of another optimizer than '
            f'{type(optimizer).__name__}: its groups are without '
            f'{", ".join(missing)}. {MEND}')
    # A newer version of the same one has switches that it had not.
    for group in optimizer.param_groups:
        for key, value in missing.items():
            group.setdefault(key, value)


def fit_base_settings(state_dict: dict, ours: dict | None) -> None:
    """Let a wrapper's state have base settings where the wrapper has them.

    MMEngine keeps the base lr of an optimizer of several groups beside them,
    and that of one group in the group.

    Args:
        state_dict (dict): The wrapper's saved state, which is changed.
        ours (dict, optional): The wrapper's own base settings.
    """
    if ours is None:
        state_dict.pop('base_param_settings', None)
    else:
        settings = dict(state_dict['param_groups'][0], params=ours['params'])
        state_dict.setdefault('base_param_settings', settings)


def _check_settings(saved: Mapping[str, dict], ours: Layout,
                    groups: Sequence[dict]) -> None:
    """Refuse groups that would lose what set their parameters apart.

    Args:
        saved (Mapping[str, dict]): The saved group of each parameter.
        ours (list[list[str]]): The names of this run's groups.
        groups (Sequence[dict]): These groups.

    Raises:
        ValueError: That names two parameters and the setting.
    """
    for names in ours:
        for name in names:
            key = _difference(saved[names[0]], saved[name])
            if key is not None:
                raise ValueError(
                    f'{names[0]!r} and {name!r} have another {key} each in '
                    f'the checkpoint, and the same one in this run: {KEEP}')
    firsts: dict[int, tuple[str, dict]] = {}
    for names, group in zip(ours, groups):
        first, of_first = firsts.setdefault(
            id(saved[names[0]]), (names[0], group))
        key = _difference(of_first, group)
        if key is not None:
            raise ValueError(
                f'{first!r} and {names[0]!r} have another {key} each in this '
                f'run, and the same one in the checkpoint: {KEEP}')


def _difference(one: dict, other: dict) -> str | None:
    """A setting that two groups have not alike."""
    if one is other:
        return None
    for key in {**one, **other}:
        a, b = one.get(key), other.get(key)
        alike = key in LABELS or (
            torch.equal(a, b) if isinstance(a, torch.Tensor)
            and isinstance(b, torch.Tensor) else a == b)
        if not alike:
            return key
    return None
