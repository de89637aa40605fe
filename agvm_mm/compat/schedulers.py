"""Lets a schedule go on where the checkpoint's optimizer had other groups.

MMEngine 0.10's schedulers keep lists with a value for every parameter group,
in the order of the groups, and put the checkpoint's lists in their place on
resume: initial values, and ReduceOnPlateau's lower bounds. A run without AGVM,
or with other modules, has other groups: these schedules would then step the
first of them only, in silence. Schedulers that keep such values in the groups
themselves, where the initial ones stand too, would let this go.
"""
from __future__ import annotations

import weakref
from functools import wraps
from typing import Any, Callable

from mmengine.optim import OptimWrapper
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler

_regrouped: weakref.WeakSet = weakref.WeakSet()


def resume_schedules_by_group(optim_wrapper: OptimWrapper) -> None:
    """Let the schedulers of a run keep their own values by group.

    For a run that has just resumed an optimizer of other groups, and resumes
    its schedulers next. Schedulers of other optimizers are not touched.

    Args:
        optim_wrapper (OptimWrapper): Of the run.
    """
    _regrouped.add(optim_wrapper)
    load = _ParamScheduler.load_state_dict
    if not hasattr(load, '__wrapped__'):
        _ParamScheduler.load_state_dict = _by_group(load)


def _by_group(load: Callable) -> Callable:

    @wraps(load)
    def load_state_dict(self: Any, state_dict: dict) -> None:
        own = dict(vars(self))
        load(self, state_dict)
        if self.optimizer not in _regrouped:
            return
        groups = self.optimizer.param_groups
        ours, theirs = len(groups), len(state_dict['_last_value'])
        for key, values in own.items():
            saved = state_dict.get(key)
            if (isinstance(values, list) and isinstance(saved, list)
                    and (len(values), len(saved)) == (ours, theirs)):
                setattr(self, key, values)
        self._last_value = [group[self.param_name] for group in groups]
        initial = f'initial_{self.param_name}'
        if hasattr(self, 'base_values') and all(initial in g for g in groups):
            self.base_values = [group[initial] for group in groups]

    return load_state_dict
