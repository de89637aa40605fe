"""Lets 'the current' hub and logger be those of the run that trains.

MMEngine 0.10 takes the newest for the current ones: of two runners that are
built before either trains, the first would read and write what is the other's.
A wrapper and hooks that are told their runner's would let this go.
"""
from __future__ import annotations

from mmengine.runner import Runner


def make_current(runner: Runner) -> None:
    """Take a runner's message hub and logger for the current ones.

    Args:
        runner (Runner or FlexibleRunner): That is about to train.
    """
    for own in (runner.message_hub, runner.logger):
        instances = type(own)._instance_dict
        if own.instance_name in instances:
            instances.move_to_end(own.instance_name)
