"""Saves and stops when the cluster takes the machines back."""
from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, Runner

from agvm_mm.compat.accumulation import micro_batches

from .agreement import Agreement
from .files import POINTER, put_text
from .parent import end_with_launcher
from .saved_on_signals import SavedOnSignals
from .saving import NotSavedError, name_latest, save_whole, saves_files
from .stop_signals import StopSignals
from .workers import keep_workers

# EX_TEMPFAIL of <sysexits.h>: try again. Python, torchrun, bash and Slurm end
# with no such code by themselves, as they do with 1, 2 or 128 + a signal.
PREEMPTED = 75
# Batches of a validation between two questions.
QUESTION_EVERY = 10


@HOOKS.register_module()
class PreemptionHook(Hook):
    """Saves a checkpoint on SIGTERM or SIGUSR1, and ends with exit code 75.

    The signal may come to one rank or to several. All of them stop at the end
    of the same update: in the last micro-batch of each, one integer goes
    around beside the forward and backward pass. A validation is cut short if
    the checkpoint of its update is there already. A second signal, two
    seconds after the first or later, ends the process at once.

    What is saved, ``preempted_iter_N.pth``, is what ``--resume`` goes on from.
    It is removed once the resumed run has saved a checkpoint.
    """

    # After whatever else an update does, and after CheckpointHook.
    priority = 'LOWEST'

    def __init__(self) -> None:
        self.signals = StopSignals()
        self.agreement: Agreement | None = None
        self._questions = 0  # that are left in this validation
        self._asked = False
        self._earlier: SavedOnSignals | None = None
        self._last: str | None = None  # checkpoint of CheckpointHook
        self._saved_at: int | None = None  # iterations done at the last one

    def before_train(self, runner: Runner) -> None:
        """Take the signals over.

        Args:
            runner (Runner): Of the training.

        Raises:
            RuntimeError: If the ranks cannot reach each other by gloo.
        """
        end_with_launcher()
        self.agreement = Agreement()
        for loop in (runner._train_loop, runner._val_loop):
            keep_workers(loop)
        self.signals.take()
        if runner._resume:  # or they are another run's
            self._earlier = SavedOnSignals(self._folder(runner))
            if self._is_own(runner, runner._load_from):
                self._saved_at = runner.iter

    def before_train_iter(self, runner: Runner, *args: Any,
                          **kwargs: Any) -> None:
        """Ask whether any rank is to stop after this update."""
        if self._ends_update(runner):
            self.agreement.ask(self.signals.received)

    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch: Any = None,
                         outputs: Any = None) -> None:
        """Stop, if one is."""
        self._remove_earlier(runner)
        done = runner.iter + 1
        self._note_saved(runner, done)
        number = self.agreement.answer() if self._ends_update(runner) else 0
        if not number or done == runner.max_iters:
            return
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        if by_epoch and self.end_of_epoch(runner.train_dataloader, batch_idx):
            return  # after_train_epoch does, with whatever others do there.
        self._stop(
            runner,
            number,
            runner.epoch,
            done,
            resumable=not by_epoch
            or getattr(runner.train_loop, 'resumes_in_mid_epoch', False))

    def after_train_epoch(self, runner: Runner) -> None:
        """Stop, if a rank is to since the epoch's last update."""
        self._remove_earlier(runner)
        self._note_saved(runner, runner.iter)
        done = runner.epoch + 1
        if (isinstance(runner.train_loop, EpochBasedTrainLoop)
                and done < runner.max_epochs):
            self.agreement.ask(self.signals.received)
            number = self.agreement.answer()
            if number:
                self._stop(runner, number, done, runner.iter)

    def before_val_epoch(self, runner: Runner) -> None:
        """Settle how often this validation asks, the same on all ranks."""
        self._questions, self._asked = 0, False
        if self.agreement is not None:
            # All ask, as a rank may know the work dir by another path.
            saved = self._saved_at == runner.iter
            self._questions = self.agreement.least(
                len(runner.val_dataloader) // QUESTION_EVERY if saved else 0)

    def after_val_iter(self, runner: Runner, batch_idx: int, *args: Any,
                       **kwargs: Any) -> None:
        """Stop, if any rank is to; every so many batches."""
        if self._questions and (batch_idx + 1) % QUESTION_EVERY == 0:
            self._stop_validation(runner)
            self._questions -= 1
            self._asked = True
            self.agreement.ask(self.signals.received)

    def after_val_epoch(self, runner: Runner, *args: Any,
                        **kwargs: Any) -> None:
        """Hear the last answer."""
        self._note_saved(runner, runner.iter)  # It may have been the best.
        self._stop_validation(runner)

    def after_train(self, runner: Runner) -> None:
        """Give the signals back."""
        self.signals.give_back()
        self.agreement.close()
        self.agreement = None

    def _stop_validation(self, runner: Runner) -> None:
        number = self.agreement.answer() if self._asked else 0
        self._asked = False
        if number:
            self._stop(runner, number, runner.epoch, runner.iter)

    def _stop(self,
              runner: Runner,
              number: int,
              epoch: int,
              iteration: int,
              resumable: bool = True) -> None:
        """Save what was done, and leave with all ranks.

        Args:
            runner (Runner): Of the training.
            number (int): Of the signal.
            epoch (int): Epochs that are done.
            iteration (int): Iterations that are done.
            resumable (bool): Whether the training loop can go on from there.
                Defaults to True.

        Raises:
            SystemExit: Of code ``PREEMPTED``.
        """
        saved = 'which is saved; --resume goes on from there'
        if not resumable:
            saved = (f'in the middle of an epoch, in which '
                     f'{type(runner.train_loop).__name__} cannot go on; '
                     '--resume goes on from the checkpoint before it')
        elif self._saved_at != iteration:
            try:
                self._save(runner, epoch, iteration)
            except NotSavedError as error:
                saved = (f'which could not be saved ({error}); --resume goes '
                         'on from the checkpoint before it')
        # The first to leave makes launchers send SIGTERM to the others.
        self.agreement.meet()
        self.signals.ignore()
        self.agreement.meet()
        runner.logger.warning(
            f'{signal.Signals(number).name}: stopped after iteration '
            f'{iteration} of {runner.max_iters}, {saved} (exit code '
            f'{PREEMPTED})')
        runner.visualizer.close()
        raise SystemExit(PREEMPTED)

    def _save(self, runner: Runner, epoch: int, iteration: int) -> None:
        hook, folder = self._checkpoint_hook(runner), self._folder(runner)
        name = SavedOnSignals.NAME.format(iteration)
        settings = dict(
            save_param_scheduler=runner.param_schedulers is not None,
            meta=dict(epoch=epoch, iter=iteration),
            by_epoch=False)
        path = os.path.join(folder, name)
        if saves_files(runner, hook.file_backend if hook else LocalBackend()):
            save_whole(runner, folder, name, **settings)
            if is_main_process():
                name_latest(runner, path)
        else:
            settings['backend_args'] = hook.backend_args if hook else None
            runner.save_checkpoint(folder, name, **settings)
            if is_main_process():
                put_text(Path(runner.work_dir, POINTER), path)
        if self._earlier:  # One of them may have had this name.
            self._earlier.remove(but=path)

    def _remove_earlier(self, runner: Runner) -> None:
        hook = self._checkpoint_hook(runner)
        # Without its optimizer no run goes on from it.
        if (self._earlier and hook and hook.last_ckpt
                and hook.save_optimizer):
            self._earlier.remove()
            self._earlier = None

    def _folder(self, runner: Runner) -> str:
        hook = self._checkpoint_hook(runner)
        return hook.out_dir if hook else runner.work_dir

    def _is_own(self, runner: Runner, checkpoint: str | None) -> bool:
        """Whether ``--resume`` finds it in the work dir of this run."""
        folders = [runner.work_dir, self._folder(runner)]
        return checkpoint is not None and os.path.dirname(
            os.path.abspath(checkpoint)) in map(os.path.abspath, folders)

    def _note_saved(self, runner: Runner, iteration: int) -> None:
        """Note after which iteration CheckpointHook saved last."""
        hook = self._checkpoint_hook(runner)
        if (hook is not None and hook.last_ckpt != self._last
                and hook.save_optimizer):
            self._last, self._saved_at = hook.last_ckpt, iteration

    @staticmethod
    def _checkpoint_hook(runner: Runner) -> CheckpointHook | None:
        return next(
            (h for h in runner.hooks if isinstance(h, CheckpointHook)), None)

    @staticmethod
    def _ends_update(runner: Runner) -> bool:
        done = runner.iter + 1
        return (done % micro_batches(runner.optim_wrapper) == 0
                or done == runner.max_iters)
