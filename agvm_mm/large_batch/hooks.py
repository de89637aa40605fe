"""What a run with a total batch needs from MMEngine's hooks."""
from __future__ import annotations

from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import EMAHook, Hook, ParamSchedulerHook
from mmengine.logging import MMLogger
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from agvm_mm.compat.accumulation import micro_batches

from .batch_sampler import MicroBatchSampler
from .resumed import note_position, settle_position
from .settings import finds_samples, type_name
from .split import split_batch
from .total_batch import check_lr_of_total, fewest_replicas


@HOOKS.register_module()
class UpdateParamSchedulerHook(ParamSchedulerHook):
    """MMEngine's hook, but schedulers that count iterations count updates.

    So a schedule needs no rescaling, and every update has exactly the learning
    rate that it has in a run without accumulation. A checkpoint holds the
    updates that were done, and a run that goes on from it with another number
    of processes, so with another accumulation, counts on from there.

    Args:
        accumulative_counts (int, optional): Micro-batches of one update, to
            which the config's iterations were scaled. Defaults to None, the
            optimizer wrapper's own.
    """

    def __init__(self, accumulative_counts: int | None = None) -> None:
        self.accumulative_counts = accumulative_counts

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Write the updates done into the checkpoint's meta data."""
        note_position(runner, checkpoint['meta'], self._counts(runner))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Turn the updates done into iterations of this run.

        Args:
            runner (Runner): Of the run.
            checkpoint (dict): Its meta data are changed.
        """
        if runner._resume:
            settle_position(runner, checkpoint, self._counts(runner))

    def after_train_iter(self, runner: Runner, *args: Any,
                         **kwargs: Any) -> None:
        """Step the schedulers if the iteration ended an update."""
        if self.every_n_train_iters(runner, self._counts(runner)):
            super().after_train_iter(runner, *args, **kwargs)

    def _counts(self, runner: Runner) -> int:
        return self.accumulative_counts or micro_batches(runner.optim_wrapper)


@HOOKS.register_module()
class UpdateEMAHook(EMAHook):
    """MMEngine's hook, but its averaged model counts updates.

    It averages after the last micro-batch of an update. So whatever the
    average makes of its steps (``gamma``, ``interval``) it makes of updates,
    and a checkpoint holds the updates that were averaged.

    Args:
        accumulative_counts (int): Micro-batches of one update. Defaults to 1.
        begin_iter (int): The update to begin at. Defaults to 0.
        **kwargs: For the base class.
    """

    def __init__(self,
                 *,
                 accumulative_counts: int = 1,
                 begin_iter: int = 0,
                 **kwargs: Any) -> None:
        super().__init__(begin_iter=begin_iter * accumulative_counts, **kwargs)
        self.accumulative_counts = accumulative_counts

    def after_train_iter(self, runner: Runner, *args: Any,
                         **kwargs: Any) -> None:
        """Average if the iteration ended an update."""
        if self.every_n_train_iters(runner, self.accumulative_counts):
            super().after_train_iter(runner, *args, **kwargs)


@HOOKS.register_module()
class TotalBatchSizeHook(Hook):
    """Warns when another total batch runs than the config states.

    That happens under a runner that does not call :func:`resolve`, such as
    MMEngine's own, and where a batch is split by hand. It compares
    ``total_batch_size``, at the top level of the config, with processes x
    samples x ``accumulative_counts``.
    """

    def before_train(self, runner: Runner) -> None:
        """Compare, and warn once, on the first process.

        Args:
            runner (Runner): Of the training.

        Raises:
            ValueError: If MMEngine has scaled the total batch's rate.
        """
        total = runner.cfg.get('total_batch_size')
        if total is None:
            return
        check_lr_of_total(runner.cfg)
        world_size = get_world_size()
        batches = getattr(runner.train_dataloader, 'batch_sampler', None)
        samples = getattr(batches, 'batch_size', None)
        if not isinstance(samples, int):
            MMLogger.get_current_instance().warning(
                f'The config states total_batch_size={total}, but whether it '
                'runs cannot be told: train_dataloader.batch_sampler, '
                f'{type(batches).__name__}, tells no single batch_size.')
            return
        accumulation = micro_batches(runner.optim_wrapper)
        running = world_size * samples * accumulation
        if isinstance(batches, MicroBatchSampler) and (len(
                batches.weights) == accumulation):
            running = batches.sampler.total_batch_size
        if running == total:
            return
        kind = type_name(dict(type=runner.cfg.get('runner_type', 'Runner')))
        by_hand = kind.startswith('TotalBatch')
        mend = ('leave optim_wrapper.accumulative_counts out'
                if by_hand else "set runner_type='TotalBatchRunner'")
        most = runner.cfg.get('max_samples_per_gpu')
        if most is None or finds_samples(runner.cfg):
            most = samples
        try:
            fitting, counts = split_batch(total, world_size, most,
                                          fewest_replicas(runner.cfg))
        except ValueError as error:
            fitting, mend = 0, str(error)
        if fitting and total % world_size == 0:
            mend += (f', or set train_dataloader.batch_size={fitting} and '
                     f'optim_wrapper.accumulative_counts={counts}')
            if counts > 1:
                mend += (f', and multiply by {counts} whatever counts '
                         'iterations')
        MMLogger.get_current_instance().warning(
            f'The config states total_batch_size={total}, but {running} runs '
            f'({world_size} processes x {samples} samples x {accumulation} '
            'micro-batches), so its learning rate and schedule do not fit: '
            f'{mend}.')
