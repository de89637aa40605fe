"""MMEngine's training loops, which go on at any update."""
from __future__ import annotations

from typing import Any, Iterator

from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from mmengine.runner.base_loop import BaseLoop
from torch import nn
from torch.utils.data import DataLoader

from agvm_mm.compat.accumulation import micro_batches

from .sampler import TotalBatchSampler, sampler_of
from .settings import schedulers_of

# In a checkpoint: after which update the model was validated last. MMEngine
# prints what begins with 'val' in the line of a validation.
VALIDATED = 'update_validated'


@LOOPS.register_module()
class TotalBatchEpochLoop(EpochBasedTrainLoop):
    """MMEngine's loop by epochs, but it goes on in the middle of one.

    After a resume it loads nothing that was trained, and counts the epoch's
    iterations on. A checkpoint at the end of an epoch was written before the
    validation of that: the run that goes on from it validates first, if it is
    due, unless that found a new best, with which it was written again. A
    scheduler that has ``convert_to_iter_based`` is converted to updates.

    Args:
        runner (Runner): Of the training.
        dataloader (DataLoader or dict): Of data that ``TotalBatchSampler``
            deals.
        *args: For the base class.
        **kwargs: For the base class.

    Raises:
        ValueError: If another sampler deals them.
    """

    resumes_in_mid_epoch = True  # MMEngine's does not.

    def __init__(self, runner: Runner, dataloader: DataLoader | dict,
                 *args: Any, **kwargs: Any) -> None:
        super().__init__(runner, dataloader, *args, **kwargs)
        self._sampler = _checked_sampler(self)
        stated = dict(param_scheduler=runner.param_schedulers)
        for _, settings in schedulers_of(stated):
            if settings.get('convert_to_iter_based'):
                # The runner builds it next, and would take the iterations.
                settings.setdefault('epoch_length', self._sampler.updates)

    def run(self) -> nn.Module:
        """Train.

        Returns:
            nn.Module: The model.
        """
        self.runner.call_hook('before_train')
        if (self._epoch and not self._iterations_done()
                and not _is_validated(self)):
            _validate_if_due(self, self._epoch, self._max_epochs)
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            _validate_if_due(self, self._epoch, self._max_epochs)
        self.runner.call_hook('after_train')
        return self.runner.model

    def run_epoch(self) -> None:
        """Train what is left of an epoch."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        done = self._iterations_done()
        self._sampler.start = done // micro_batches(self.runner.optim_wrapper)
        for index, batch in enumerate(self.dataloader, done):
            self.run_iter(index, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _iterations_done(self) -> int:
        """The iterations of this epoch that were done before."""
        return self._iter - self._epoch * len(self.dataloader)


@LOOPS.register_module()
class TotalBatchIterLoop(IterBasedTrainLoop):
    """MMEngine's loop by iterations, but a resume loads nothing to skip it.

    A checkpoint was written before the validation that follows its iteration:
    the run that goes on from it validates first, if it is due.

    Args:
        runner (Runner): Of the training.
        dataloader (DataLoader or dict): Of data that ``TotalBatchSampler``
            deals.
        *args: For the base class.
        **kwargs: For the base class.

    Raises:
        ValueError: If another sampler deals them.
    """

    def __init__(self, runner: Runner, dataloader: DataLoader | dict,
                 *args: Any, **kwargs: Any) -> None:
        BaseLoop.__init__(self, runner, dataloader)
        loader = self.dataloader
        # Workers that the base class started would load the first data.
        super().__init__(runner, _Unstarted(loader), *args, **kwargs)
        self.dataloader = loader
        self._sampler = _checked_sampler(self)

    def run(self) -> nn.Module:
        """Train.

        Returns:
            nn.Module: The model.
        """
        # First, because a hook may start the workers anew.
        self._sampler.start = self._iter // micro_batches(
            self.runner.optim_wrapper)
        self.runner.call_hook('before_train')
        # As in the base class, the training is one epoch for its hooks.
        self.runner.call_hook('before_train_epoch')
        if self._iter and not _is_validated(self):
            _validate_if_due(self, self._iter, self._max_iters)
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(next(self.dataloader_iterator))
            _validate_if_due(self, self._iter, self._max_iters)
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model


class _Unstarted:
    """A dataloader that starts when its first batch is asked for."""

    def __init__(self, loader: DataLoader) -> None:
        self.dataset = loader.dataset
        self._loader = loader

    def __iter__(self) -> Iterator:
        yield from self._loader


def _updates(loop: BaseLoop) -> int:
    return loop._iter // micro_batches(loop.runner.optim_wrapper)


def _validate_if_due(loop: BaseLoop, done: int, last: int) -> None:
    loop._decide_current_val_interval()
    if (loop.runner.val_loop is not None and done >= loop.val_begin
            and (done % loop.val_interval == 0 or done == last)):
        # First, as the checkpoint of a new best is written before it is over.
        loop.runner.message_hub.update_info(VALIDATED, _updates(loop))
        loop.runner.val_loop.run()


def _is_validated(loop: BaseLoop) -> bool:
    """Whether a resumed checkpoint was written after its validation."""
    return loop.runner.message_hub.get_info(VALIDATED) == _updates(loop)


def _checked_sampler(loop: BaseLoop) -> TotalBatchSampler:
    sampler = sampler_of(loop.dataloader)
    if not isinstance(sampler, TotalBatchSampler):
        raise ValueError(
            f'train_cfg.type={type(loop).__name__!r} goes on at an update '
            'that TotalBatchSampler finds, and train_dataloader.sampler is '
            f'{type(sampler).__name__}: use TotalBatchSampler, or one of '
            "MMEngine's loops")
    return sampler
