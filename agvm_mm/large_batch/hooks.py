"""What a run with a total batch needs from MMEngine's hooks."""
from __future__ import annotations

import math
from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import Hook, ParamSchedulerHook
from mmengine.logging import MMLogger
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from .total_batch import split_batch


@HOOKS.register_module()
class UpdateParamSchedulerHook(ParamSchedulerHook):
    """MMEngine's hook, but schedulers that count iterations count updates.

    So a schedule needs no rescaling, and every update has exactly the learning
    rate that it has in a run without accumulation. A checkpoint holds the
    updates that were done, and a run that goes on from it with another number
    of processes, so with another accumulation, counts on from there.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Write the updates done into the checkpoint's meta data."""
        checkpoint['meta']['updates'] = math.ceil(
            checkpoint['meta']['iter'] /
            runner.optim_wrapper._accumulative_counts)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Turn the updates done into iterations of this run."""
        updates = checkpoint.get('meta', {}).get('updates')
        if updates is not None and runner._resume:
            checkpoint['meta']['iter'] = (
                updates * runner.optim_wrapper._accumulative_counts)

    def after_train_iter(self, runner: Runner, *args: Any,
                         **kwargs: Any) -> None:
        """Step the schedulers if the iteration ended an update."""
        accumulative_counts = runner.optim_wrapper._accumulative_counts
        if self.every_n_train_iters(runner, accumulative_counts):
            super().after_train_iter(runner, *args, **kwargs)


@HOOKS.register_module()
class TotalBatchSizeHook(Hook):
    """Warns when another total batch runs than the config states.

    That happens under a launcher that does not call :func:`resolve`, such as
    mmdet's own. It compares ``total_batch_size``, at the top level of the
    config, with processes x samples x ``accumulative_counts``.
    """

    def before_train(self, runner: Runner) -> None:
        """Compare, and warn once, on the first process."""
        total = runner.cfg.get('total_batch_size')
        world_size = get_world_size()
        samples = runner.train_dataloader.batch_sampler.batch_size
        wrapper: Any = runner.optim_wrapper
        accumulation = getattr(wrapper, '_accumulative_counts', 1)
        running = world_size * samples * accumulation
        if total is None or running == total:
            return
        mend = 'launch it with the tools/train.py of agvm_mm, or set '
        try:
            samples, counts = split_batch(
                total, world_size,
                runner.cfg.get('max_samples_per_gpu', samples),
                2 if hasattr(wrapper, 'modulator') else 1)
        except ValueError as error:
            mend = str(error)
        else:
            mend += (f'train_dataloader.batch_size={samples} and '
                     f'optim_wrapper.accumulative_counts={counts}')
            if counts > 1:
                mend += (f', and multiply by {counts} whatever counts '
                         'iterations')
        MMLogger.get_current_instance().warning(
            f'The config states total_batch_size={total}, but {running} runs '
            f'({world_size} processes x '
            f'{runner.train_dataloader.batch_sampler.batch_size} samples x '
            f'{accumulation} micro-batches), so its learning rate and '
            f'schedule do not fit: {mend}.')
