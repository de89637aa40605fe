"""Lets a schedule go on where the checkpoint's optimizer had other groups.

MMEngine 0.10's schedulers keep the initial value of every parameter group, in
the order of the groups, and put the checkpoint's list in its place on resume.
A run without AGVM, or with other modules, has other groups: cosine schedules
would then step the first of them only, in silence. Schedulers that read their
initial values from the groups, where they stand too, would let this go.
"""
from __future__ import annotations

import weakref
from functools import wraps
from typing import Any, Callable

from mmengine.optim import OptimWrapper
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler

_regrouped: weakref.WeakSet = weakref.WeakSet()


def resume_schedules_by_group(optim_wrapper: OptimWrapper) -> None:
    """Let the schedulers of a run read initial values from its own groups.

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
        load(self, state_dict)
        name = f'initial_{self.param_name}'
        groups = self.optimizer.param_groups
        if (self.optimizer in _regrouped
                and all(name in group for group in groups)):
            self.base_values = [group[name] for group in groups]

    return load_state_dict
