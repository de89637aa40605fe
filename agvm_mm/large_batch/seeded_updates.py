"""Makes an update's random numbers the same wherever a run was cut."""
from __future__ import annotations

from typing import Any

from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from agvm_mm.compat.accumulation import micro_batches
from agvm_mm.recovery.randomness import seed_all

from .sampler import TotalBatchSampler, sampler_of

# Apart from the keys of samples.
UPDATES = 1


@HOOKS.register_module()
class SeededUpdatesHook(Hook):
    """Seeds each micro-batch by its update and its position in that.

    So what a model draws (RoI sampling, dropout, drop path) depends neither on
    what was drawn before, nor on where the run was cut, nor on which rank has
    the micro-batch. The seed is that of the order of the data, which a
    checkpoint carries on: all ranks have the same one, also where MMEngine's
    ``diff_rank_seed`` gives each rank its own.
    """

    # Before other hooks, which may draw.
    priority = 'VERY_HIGH'

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Write the seed into the checkpoint's meta data."""
        checkpoint['meta']['sampler_seed'] = _seed(runner)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Go on with the seed of the run that is resumed."""
        meta = checkpoint.get('meta', {})
        seed = meta.get('sampler_seed', meta.get('seed'))
        if not runner._resume or seed is None:
            return  # A test has no training data, which this would build.
        sampler = sampler_of(runner.train_dataloader)
        if isinstance(sampler, TotalBatchSampler):
            sampler.seed = seed

    def before_train_iter(self, runner: Runner, *args: Any,
                          **kwargs: Any) -> None:
        """Seed, after the data were loaded and before the model runs."""
        update, done = divmod(runner.iter, micro_batches(runner.optim_wrapper))
        position = done * get_world_size() + get_rank()
        seed_all(_seed(runner), UPDATES, update, position)


def _seed(runner: Runner) -> int:
    sampler = sampler_of(runner.train_dataloader)
    ours = isinstance(sampler, TotalBatchSampler)
    return sampler.seed if ours else runner.seed
