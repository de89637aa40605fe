"""Weighs the losses of unequal micro-batches by their samples."""
from __future__ import annotations

from functools import partial
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from agvm_mm.compat.optim_wrapper_dict import wrappers_in

from .batch_sampler import MicroBatchSampler


@HOOKS.register_module()
class LossWeightHook(Hook):
    """Makes the mean gradient of unequal micro-batches that of their samples.

    The mean over micro-batches and ranks gives each of them the same weight,
    however many samples it has. So each loss is multiplied, for its backward
    pass, by the share of its micro-batch in the update; the logged loss is the
    micro-batch's own. It does this to any optimizer wrapper of MMEngine, where
    a :class:`MicroBatchSampler` deals, and nothing elsewhere.
    :func:`~agvm_mm.large_batch.resolve` puts it into a config.
    """

    def before_train(self, runner: Runner) -> None:
        """Let the optimizer wrappers of this run weigh.

        Args:
            runner (Runner): Of the training.
        """
        batches = getattr(runner.train_dataloader, 'batch_sampler', None)
        self._weights = (
            batches.weights if isinstance(batches, MicroBatchSampler) else [])
        if self._weights:
            for wrapper in wrappers_in(runner.optim_wrapper).values():
                wrapper.backward = partial(_weighted_backward, wrapper)

    def before_train_iter(self, runner: Runner, *args: Any,
                          **kwargs: Any) -> None:
        """Set the weight of the micro-batch that comes."""
        if self._weights:
            # Iterations are counted in whole updates, in a resumed run too.
            weight = self._weights[runner.iter % len(self._weights)]
            for wrapper in wrappers_in(runner.optim_wrapper).values():
                wrapper.loss_weight = weight


def _weighted_backward(wrapper: Any, loss: Tensor, **kwargs: Any) -> None:
    type(wrapper).backward(wrapper, loss * wrapper.loss_weight, **kwargs)
