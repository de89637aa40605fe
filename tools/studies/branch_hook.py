"""Lets a run go on as a branch, and tells the loss that it came to."""
from __future__ import annotations

import json
import math
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmengine.runner.utils import set_random_seed
from torch import nn

from agvm_mm.compat.checkpoint import load

from .branch_state import continue_from

LOSSES = 'losses.json'


@HOOKS.register_module()
class BranchHook(Hook):
    """Takes the optimizer's state, and evaluates the loss before and after.

    The loss is that of fixed images of the *training* data, without updates:
    the noise scale is a statement about the loss that is trained, and the
    training data of every config give one, which many pipelines for
    validation do not, as they leave the boxes out. Images, their augmentation
    and what a model draws (as the boxes that it samples) are the same in
    every branch and for every seed, so branches differ by their weights
    alone; the running loss of the last updates would be of other images and
    other weights at each batch. The model is in its training mode, as where
    the gradient is taken: BatchNorm's running averages lag by updates, which
    are more images in a larger batch.

    Args:
        checkpoint (str): File of the checkpoint.
        times (float): See :func:`~studies.branch_state.scaled_state`.
        loss_images (int): On which the loss is evaluated.
        micro_batch (int): Samples of one micro-batch.
    """

    def __init__(self, checkpoint: str, times: float, loss_images: int,
                 micro_batch: int) -> None:
        self.checkpoint = checkpoint
        self.times = times
        self.loss_images = loss_images
        self.micro_batch = micro_batch
        self._before = 0.0
        self._diverged = False

    def before_train(self, runner: Runner) -> None:
        """Take the state, and evaluate.

        Args:
            runner (Runner): Of the branch.
        """
        continue_from(runner.optim_wrapper,
                      load(self.checkpoint)['optimizer'], self.times)
        self._before = self._loss(runner)

    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        """End a branch that diverges, which has no loss.

        Args:
            runner (Runner): Of the branch.
            batch_idx (int): Of the iteration.
            data_batch (Any): What it was given. Defaults to None.
            outputs (dict, optional): Its losses. Defaults to None.
        """
        if outputs and not torch.isfinite(outputs['loss']).all():
            self._diverged = True
            runner.train_loop.stop_training = True

    def after_train(self, runner: Runner) -> None:
        """Evaluate, and write both losses into the work dir.

        Args:
            runner (Runner): Of the branch.
        """
        after = None if self._diverged else self._loss(runner)
        if after is not None and not math.isfinite(after):
            after = None
        losses = dict(before=self._before, after=after)
        Path(runner.work_dir, LOSSES).write_text(json.dumps(losses))

    @torch.no_grad()
    def _loss(self, runner: Runner) -> float:
        loader = runner.train_dataloader
        order = torch.randperm(
            len(loader.dataset),
            generator=torch.Generator().manual_seed(0)).tolist()
        images = order[:self.loss_images]
        size = self.micro_batch
        total = 0.0
        with _as_it_was(runner.model):
            for first in range(0, len(images), size):
                set_random_seed(first)
                part = images[first:first + size]
                batch = loader.collate_fn([loader.dataset[i] for i in part])
                data = runner.model.data_preprocessor(batch, True)
                loss, _ = runner.model.parse_losses(
                    runner.model(**data, mode='loss'))
                total += float(loss) * len(part)
        return total / len(images)


@contextmanager
def _as_it_was(model: nn.Module) -> Iterator[None]:
    """Within, a model trains; then buffers and generators are as before."""
    kept = {name: value.clone() for name, value in model.named_buffers()}
    with torch.random.fork_rng():
        model.train()
        yield
    for name, value in model.named_buffers():
        value.copy_(kept[name])
