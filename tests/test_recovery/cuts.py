"""Trainings that the kernel ends in the middle of a save."""
from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
from pathlib import Path

from mmengine.hooks import Hook

from tests.test_recovery.runs import train

SETTINGS = dict(
    validates=True, checkpoint=dict(max_keep_ckpts=1, save_best='loss'))


class CutWriting(Hook):
    """Ends the process when its next file reaches a size, in one epoch."""

    priority = 'VERY_HIGH'

    def __init__(self, epoch, size):
        self.epoch, self.size = epoch, size

    def after_train_epoch(self, runner):
        if runner.epoch + 1 == self.epoch:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, ) * 2)


def _of_checkpoints(event, args, work_dir):
    """What is done to which checkpoint, if that is what happens."""
    if event not in ('open', 'os.rename', 'os.remove'):
        return None
    paths = [str(a) for a in args[:2] if isinstance(a, (str, Path))]
    # The last one is the file's new name.
    path = paths[-1 if event == 'os.rename' else 0] if paths else ''
    name = os.path.basename(path)
    if not path.startswith(str(work_dir)) or not (
            name.endswith(('.pth', '.writing')) or name == 'last_checkpoint'):
        return None
    return f'{event} {name}'


def _train(work_dir, cut, hooks, settings):
    done = []

    def watch(event, args):
        what = _of_checkpoints(event, args, work_dir)
        if what is None or watch.off:
            return
        if len(done) == cut:
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(what)

    watch.off = False
    sys.addaudithook(watch)
    train(work_dir, *hooks, **settings)
    watch.off = True
    (work_dir / 'events.txt').write_text('\n'.join(done))


def train_cut(work_dir, *hooks, cut=None, **settings):
    """Train in a process of its own.

    Args:
        work_dir (Path): Of the training.
        *hooks (Hook): For it.
        cut (int, optional): It is killed before the step of this number, of
            those that it does to checkpoints. Defaults to None.
        **settings: For ``train``.

    Returns:
        int: The exit status. 'events.txt' has the steps of one that ended.
    """
    process = multiprocessing.get_context('forkserver').Process(
        target=_train, args=(work_dir, cut, hooks, {
            **SETTINGS,
            **settings
        }))
    process.start()
    process.join()
    return process.exitcode
