"""Settles what a run goes on from by itself, for all of its ranks alike."""
from __future__ import annotations

import os
import platform
from contextlib import contextmanager
from typing import Iterator

from mmengine.dist import (
    all_gather_object,
    broadcast_object_list,
    is_main_process,
)
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook
from mmengine.runner import BaseLoop, Runner

from .files import put_back
from .newest import Found, find_newest
from .saving import saves_files


def settle_resume(runner: Runner) -> None:
    """Choose the newest whole checkpoint of a run that is to find it itself.

    The first rank chooses, and tells the others, so that none starts anew
    while others go on.

    Args:
        runner (Runner or FlexibleRunner): Its ``resume`` and ``load_from`` are
            set. One that is told what to load is left as it is.

    Raises:
        ValueError: On every rank, if there were checkpoints and none is whole,
            or if a rank does not see the one that was chosen.
    """
    if runner._resume is not True or runner._load_from is not None:
        return
    if not saves_files(runner, LocalBackend()):
        return  # What others save in folders, as DeepSpeed, they find.
    path, passed_over = _newest(runner)
    listed = ', '.join(passed_over)
    if path is None and passed_over:
        raise ValueError(
            f'{runner.work_dir} holds no whole checkpoint to resume: '
            f'{listed}. Name a whole one, with --resume PATH (load_from), or '
            'start anew with another --work-dir')
    if path is None:
        runner._resume = False
        runner.logger.warning(
            f'{runner.work_dir} holds no checkpoint to resume: the training '
            'starts anew')
        return
    blind = [
        host for host, sees in all_gather_object((platform.node(),
                                                  os.path.exists(path)))
        if not sees
    ]
    if blind and '://' not in path:
        raise ValueError(
            f'{path} is to be resumed, but processes on '
            f'{", ".join(sorted(set(blind)))} do not see it: put the work dir '
            'on a file system that all machines share')
    if passed_over:
        runner.logger.warning(f'Resume passes over {listed}')
    runner.logger.info(f'Auto resumed from the latest checkpoint {path}.')
    # Whoever asks again need not read all checkpoints again.
    runner._load_from = runner._found_by_itself = path


def warn_of_newer(runner: Runner) -> None:
    """Say that a run goes on from elsewhere, beside checkpoints of its own.

    mmseg's own ``--resume`` leaves the config's ``load_from`` in force: a run
    that began with another one's weights, and was cut, would go on from the
    other one's update. It may be meant, as ``--resume PATH`` of mmdet's tool
    gives the same config.

    Args:
        runner (Runner or FlexibleRunner): Its ``resume`` and ``load_from`` are
            set.
    """
    told = runner._load_from
    if (not isinstance(runner._train_loop, BaseLoop)  # as in a test
            or runner._has_loaded or runner._resume is not True
            or told in (None, getattr(runner, '_found_by_itself', None))):
        return
    path = _newest(runner).path
    if path is not None and _folder(path) != _folder(told):
        runner.logger.warning(
            f'The training goes on from load_from={told}, and not from '
            f'{path}, the newest checkpoint of its own. If that is not meant, '
            "leave load_from out: mmseg's own --resume takes that of the "
            'config, so add --cfg-options load_from=None there')


@contextmanager
def weights_for_tests(runner: Runner) -> Iterator[None]:
    """Within, a test loads the weights of what a training would resume.

    A run that was resumed says so in the config that it dumps, and the best
    checkpoint, with which it is tested, holds weights alone. A training that
    comes after the test resumes all the same.

    Args:
        runner (Runner or FlexibleRunner): Its ``resume`` and ``load_from`` are
            set.
    """
    if (isinstance(runner._train_loop, BaseLoop) or runner._has_loaded
            or not runner._resume):
        yield
        return
    asked, runner._resume = runner._resume, False
    yield
    runner._resume, runner._has_loaded = asked, False


def settle_elastic_resume(runner: Runner, formed_before: bool) -> None:
    """:func:`settle_resume` of a run that is formed anew by itself.

    Then it goes on from its newest checkpoint, or begins as it was told if
    there is none yet.

    Args:
        runner (Runner or FlexibleRunner): Its ``resume`` and ``load_from`` are
            set.
        formed_before (bool): Whether it is not the first time, the same on
            every rank.

    Raises:
        ValueError: As :func:`settle_resume`; and on every rank, if the first
            time there are checkpoints that are not to be resumed: they would
            be, the second time.
    """
    told = runner._resume, runner._load_from
    if formed_before:
        runner._resume, runner._load_from = True, None
        settle_resume(runner)
        if not runner._resume:
            runner._resume, runner._load_from = told
        return
    if told != (True, None):
        found = _newest(runner).path
        named = told[0] if isinstance(told[0], str) else told[0] and told[1]
        if found is not None and not _same(found, named):
            raise ValueError(
                f'{runner.work_dir} holds {os.path.basename(found)} of an '
                'earlier run, from which this one would go on when its '
                'machines change: add --resume to go on from it now, or name '
                'another --work-dir')
    settle_resume(runner)


def _newest(runner: Runner) -> Found:
    """What the first rank finds, on all ranks."""
    told = [None]
    if is_main_process():
        work_dir, out_dir, suffix = _places(runner)
        put_back(out_dir or work_dir)
        told = [find_newest(work_dir, out_dir, suffix)]
    broadcast_object_list(told)
    return told[0]


def _folder(path: str) -> str:
    return os.path.dirname(os.path.realpath(os.path.expanduser(path)))


def _same(path: str, named: str | bool) -> bool:
    return isinstance(named, str) and os.path.exists(
        named) and os.path.samefile(path, named)


def _places(runner: Runner) -> tuple[str, str | None, str]:
    """Where a run's checkpoints are, and the end of their names."""
    work_dir = runner.work_dir
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook):
            out_dir = hook.out_dir
            if out_dir is not None and str(out_dir) != work_dir:
                name = os.path.basename(work_dir.rstrip(os.sep))
                out_dir = os.path.join(out_dir, name)
            return (work_dir, out_dir,
                    os.path.splitext(hook.filename_tmpl)[1] or '.pth')
    return work_dir, None, '.pth'
