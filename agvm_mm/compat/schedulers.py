"""Lets a schedule go on where the checkpoint's optimizer had other groups.

MMEngine's schedulers keep the initial value of every parameter group, in the
order of the groups, and put the checkpoint's list in its place on resume. A
run without AGVM, or with other modules, has other groups: cosine schedules
would then step the first of them only, in silence.
"""
from __future__ import annotations

from functools import wraps
from typing import Any, Callable

from mmengine.optim.scheduler.param_scheduler import _ParamScheduler


def resume_schedules_by_group() -> None:
    """Let MMEngine's schedulers read initial values from their own groups.

    The optimizer, which is resumed first, holds them there. Where the groups
    are the checkpoint's, the values are the same ones.
    """
    load = _ParamScheduler.load_state_dict
    if not hasattr(load, '__wrapped__'):
        _ParamScheduler.load_state_dict = _by_group(load)


def _by_group(load: Callable) -> Callable:

    @wraps(load)
    def load_state_dict(self: Any, state_dict: dict) -> None:
        load(self, state_dict)
        name = f'initial_{self.param_name}'
        groups = self.optimizer.param_groups
        if all(name in group for group in groups):
            self.base_values = [group[name] for group in groups]

    return load_state_dict
