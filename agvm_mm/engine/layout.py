"""An optimizer's state, from one grouping of its parameters to another.

Torch numbers the parameters of a saved optimizer in the order of its groups.
A run without AGVM, or with other modules, groups them otherwise, so a saved
state is renumbered by the parameters' names before it is loaded.
"""
from __future__ import annotations

from typing import Sequence


def to_layout(state_dict: dict, groups: Sequence[dict],
              plain_layout: list[list[str]] | None) -> dict:
    """Bring an optimizer's state to the order of other parameter groups.

    Args:
        state_dict (dict): An optimizer's state; it is not changed.
        groups (Sequence[dict]): The groups to bring it to, with their
            parameters' names in ``group['param_names']``.
        plain_layout (list[list[str]], optional): The names, group by group, of
            a saved optimizer that does not tell them itself.

    Returns:
        dict: The state, and whatever else ``state_dict`` holds, with each
        group's hyper-parameters from the saved group of its first parameter.

    Raises:
        ValueError: If the state is one of other parameters.
    """
    ours = [group.get('param_names') for group in groups]
    saved_groups = state_dict['param_groups']
    theirs = [group.get('param_names') for group in saved_groups]
    if None in theirs:
        theirs = plain_layout
    if None in ours or theirs is None or ours == theirs:
        return state_dict

    mend = 'Load only its weights: set load_from, and no --resume'
    wanted = [len(names) for names in theirs]
    found = [len(group['params']) for group in saved_groups]
    if found != wanted:
        raise ValueError(
            'The checkpoint holds the state of another optimizer: its groups '
            f'have {found} parameters, where {wanted} were expected. {mend}')
    saved = {
        name: (index, group)
        for names, group in zip(theirs, saved_groups)
        for name, index in zip(names, group['params'])
    }
    missing = [name for names in ours for name in names if name not in saved]
    if missing:
        raise ValueError(
            f'The checkpoint holds no optimizer state of {len(missing)} '
            f'parameters, {missing[0]!r} among them. {mend}')

    converted = dict(state_dict, state={}, param_groups=[])
    index = 0
    for group, names in zip(groups, ours):
        converted['param_groups'].append({
            **saved[names[0]][1],
            'module':
            group['module'],
            'param_names':
            names,
            'params':
            list(range(index, index + len(names))),
        })
        for name in names:
            state = state_dict['state'].get(saved[name][0])
            if state is not None:
                converted['state'][index] = state
            index += 1
    return converted
