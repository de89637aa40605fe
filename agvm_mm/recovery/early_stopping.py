"""Stops early where a run that was never cut would."""
from __future__ import annotations

from typing import Any

from mmengine.hooks import EarlyStoppingHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class ResumedEarlyStoppingHook(EarlyStoppingHook):
    """MMEngine's ``EarlyStoppingHook``, which a resumed run goes on with.

    Checkpoints hold what it has counted. MMEngine 0.10's begins anew in each
    resumed run, also in one that it had stopped.

    Args:
        **kwargs: For ``EarlyStoppingHook``.
    """

    # Before CheckpointHook, which saves a new best with its validation.
    priority = 'LOW'

    def before_train(self, runner: Runner) -> None:
        """Go on from what the checkpoint holds.

        Args:
            runner (Runner or FlexibleRunner): Of the training.
        """
        counted = runner.message_hub.get_info(self._name)
        if runner._resume and counted is not None:
            self.wait_count = counted['wait_count']
            self.best_score = counted['best_score']
            runner.train_loop.stop_training = counted['stopped']

    def after_val_epoch(self,
                        runner: Runner,
                        metrics: dict[str, Any] | None = None) -> None:
        """Count, and let the checkpoints to come hold it.

        Args:
            runner (Runner or FlexibleRunner): Of the training.
            metrics (dict[str, object], optional): Of the validation.
        """
        super().after_val_epoch(runner, metrics)
        runner.message_hub.update_info(
            self._name,
            dict(
                wait_count=self.wait_count,
                best_score=self.best_score,
                stopped=runner.train_loop.stop_training))

    @property
    def _name(self) -> str:
        return f'early_stopping/{self.monitor}'
