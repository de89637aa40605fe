"""An optimizer's state, from one grouping of its parameters to another.

Torch numbers the parameters of a saved optimizer in the order of its groups.
A run without AGVM, or with other modules, groups them otherwise, so a saved
state is renumbered by the parameters' names before it is loaded.
"""
from __future__ import annotations

import logging
from typing import List

from mmengine.logging import print_log
from torch.optim import Optimizer

Layout = List[List[str]]
MEND = 'Load only its weights: set load_from, and no --resume'


def to_layout(state_dict: dict, ours: Layout | None,
              theirs: Layout | None) -> dict:
    """Bring an optimizer's state to the order of other parameter groups.

    Args:
        state_dict (dict): An optimizer's state; it is not changed.
        ours (list[list[str]], optional): The parameters' names, group by
            group, to bring it to.
        theirs (list[list[str]], optional): The names as it was saved.

    Returns:
        dict: The state, and whatever else ``state_dict`` holds, with each
        group's hyper-parameters from the saved group of its first parameter.
        As it is where either side's names are not known.

    Raises:
        ValueError: If the state is one of other parameters.
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
    _tell_dropped([
        name for name, (index, _) in saved.items()
        if name not in kept and index in state_dict['state']
    ])

    # What is no parameter's, as a count of all steps, has no number.
    own = {k: v for k, v in state_dict['state'].items() if k not in numbers}
    converted = dict(state_dict, state=own, param_groups=[])
    index = 0
    for names in ours:
        converted['param_groups'].append({
            **saved[names[0]][1],
            'params':
            list(range(index, index + len(names))),
        })
        for name in names:
            state = state_dict['state'].get(saved[name][0])
            if state is not None:
                converted['state'][index] = state
            index += 1
    return converted


def check_loaded(optimizer: Optimizer) -> None:
    """Refuse what was loaded of an optimizer of another kind.

    Torch takes the saved groups as they are, and the first step would fail.

    Args:
        optimizer (Optimizer): It has loaded a state. What that lacks because
            it was saved by an older torch, the optimizer has added.

    Raises:
        ValueError: If a group lacks a setting of the optimizer.
    """
    missing = {
        key: None
        for group in optimizer.param_groups for key in optimizer.defaults
        if key not in group
    }
    if missing:
        raise ValueError(
            'The checkpoint holds the state of another optimizer than '
            f'{type(optimizer).__name__}: its groups are without '
            f'{", ".join(missing)}. {MEND}')


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


def _tell_dropped(names: list[str]) -> None:
    if names:
        print_log(
            f'The checkpoint holds the optimizer state of {len(names)} '
            f'parameters, {names[0]!r} among them, that this run does not '
            'train; it is dropped.',
            logger='current',
            level=logging.WARNING)
