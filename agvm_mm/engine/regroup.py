"""An optimizer's parameters in other groups: one for each module."""
from __future__ import annotations

import inspect
import logging
from typing import Mapping

import torch
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.optim import Optimizer

from .inherited import MARKS

# The key in which torch keeps the names of a group's parameters.
NAMES = 'param_names'


def regrouped(groups: list[dict], name_of: Mapping[nn.Parameter, str],
              module_of: Mapping[str, str]) -> list[dict]:
    """Merge the groups of one module in which everything else is equal.

    Everything counts, not the optimizer's own options alone: optimizers and
    hooks read what constructors leave in their groups.

    Args:
        groups (list[dict]): An optimizer's.
        name_of (Mapping[nn.Parameter, str]): The parameters' names, in the
            model's order.
        module_of (Mapping[str, str]): Their modules, by these names.

    Returns:
        list[dict]: New groups, each of one module.
    """
    settings_of: dict[nn.Parameter, dict] = {}
    label_of: dict[nn.Parameter, str] = {}
    for group in groups:
        settings = {k: v for k, v in group.items() if k != 'params'}
        labels = settings.get(NAMES)
        if isinstance(labels, list) and len(labels) == len(group['params']):
            # torch's own key, which names the parameters one by one.
            label_of.update(zip(group['params'], settings.pop(NAMES)))
        settings_of.update((p, settings) for p in group['params'])
    merged: dict[str, list[dict]] = {
        module: []
        for module in dict.fromkeys(module_of.values())
    }
    # In the model's order, whatever the order of the constructor's groups.
    for parameter, name in name_of.items():
        if parameter not in settings_of:
            continue
        settings = settings_of[parameter]
        siblings = merged[module_of[name]]
        for group in siblings:
            if _equal(group['settings'], settings):
                break
        else:
            group = dict(settings=settings, params=[])
            siblings.append(group)
        group['params'].append(parameter)
    return [
        _new_group(group['settings'], module, group['params'], label_of)
        for module, siblings in merged.items() for group in siblings
    ]


def _new_group(settings: dict, module: str, parameters: list[nn.Parameter],
               label_of: Mapping[nn.Parameter, str]) -> dict:
    group = dict(settings, module=module, params=parameters)
    if isinstance(group.get('lr'), Tensor):
        # It is scaled in place, group by group.
        group['lr'] = group['lr'].clone()
    if all(p in label_of for p in parameters):
        group[NAMES] = [label_of[p] for p in parameters]
    return group


def _equal(ours: dict, theirs: dict) -> bool:
    """Whether the settings of two parameters are the same."""
    if ours.keys() != theirs.keys():
        return False
    for key, a in ours.items():
        b = theirs[key]
        if a is b:
            continue
        if isinstance(a, Tensor) or isinstance(b, Tensor):
            if not (isinstance(a, Tensor) and isinstance(b, Tensor)
                    and torch.equal(a, b)):
                return False
        elif type(a) is not type(b) or a != b:
            return False
    return True


def rebuilt(optimizer: Optimizer, groups: list[dict],
            cfg: Mapping) -> Optimizer:
    """Build an optimizer once more, with other groups.

    Some make something for each group when they are built, which would be that
    of the old groups if these were only exchanged. The class is the built
    one's, and its options are those of the config that it takes, or else its
    own defaults. The groups hold all of its settings already.

    What a user's constructor does to a finished optimizer apart from its
    groups (a hook on its step, an attribute) is not done again, and is warned
    of.

    Args:
        optimizer (Optimizer): As the user's own constructor built it.
        groups (list[dict]): From :func:`regrouped`.
        cfg (Mapping): The config's ``optim_wrapper.optimizer``.

    Raises:
        ValueError: If the class cannot be built so.
    """
    cls = type(optimizer)
    # MMEngine too takes the first one for the parameters, whatever its name.
    _, *names = inspect.signature(cls).parameters.values()
    options = {k: v for k, v in cfg.items() if k not in MARKS}
    if all(p.kind is not p.VAR_KEYWORD for p in names):
        taken = {p.name for p in names}
        options = {k: v for k, v in options.items() if k in taken}
    for parameter in names:
        if parameter.name in optimizer.defaults:
            options.setdefault(parameter.name,
                               optimizer.defaults[parameter.name])
    try:
        anew = cls(groups, **options)
    except Exception as error:
        raise ValueError(
            f'optim_wrapper.optimizer: AGVM builds {cls.__qualname__} with a '
            f'group for each module, which fails ({type(error).__name__}: '
            f'{error}). Its class must take parameter groups, and each of its '
            'options must be in optim_wrapper.optimizer') from error
    anew.defaults.update(optimizer.defaults)
    lost = [k for k in vars(optimizer) if _changed(k, optimizer, anew)]
    if lost:
        print_log(
            f'AGVM builds {cls.__qualname__} with a group for each module: '
            f'what base_constructor has left in its {", ".join(lost)} is not '
            'there any more. Do it in a hook, once the wrapper is built.',
            logger='current',
            level=logging.WARNING)
    return anew


def _changed(key: str, optimizer: Optimizer, anew: Optimizer) -> bool:
    """Whether an attribute is new, or has hooks that a new one lacks."""
    if key not in vars(anew):
        return True
    return 'hooks' in key and len(vars(optimizer)[key]) > len(vars(anew)[key])
