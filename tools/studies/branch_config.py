"""The config of a branch: a training that goes on at another total batch."""
from __future__ import annotations

import copy
from typing import Sequence

import numpy as np
from mmengine.config import Config, ConfigDict

from agvm_mm.large_batch import at_batch
from agvm_mm.large_batch.another_batch import stated_batch, with_runner
from agvm_mm.large_batch.optimizer_rules import rule_of
from agvm_mm.large_batch.rules import AdamRule
from agvm_mm.large_batch.samples import most_samples
from agvm_mm.large_batch.settings import type_name, wrappers_of

HOOK = 'studies.branch_hook'
NEVER = 10**9
# What measures instead of a wrapper without AGVM.
MEASURING = dict(
    OptimWrapper='AGVMOptimWrapper', AmpOptimWrapper='AGVMAmpOptimWrapper')


def micro_batch_of(cfg: Config, batches: Sequence[int]) -> int:
    """The samples of a micro-batch, the same in every branch.

    BatchNorm sees no more, and no mean over boxes is over more of them, than
    at the other batches. AGVM, which measures, needs two of them an update.

    Args:
        cfg (Config): As a user wrote it.
        batches (Sequence[int]): Of the branches, in samples.

    Raises:
        ValueError: If no update can be two micro-batches.
    """
    if min(batches) < 2:
        raise ValueError(f'--batches {min(batches)}: AGVM compares two '
                         'micro-batches or more, so it must be 2 or more')
    most = most_samples(cfg)
    if not isinstance(most, int):
        most = cfg.train_dataloader.batch_size
    shared = np.gcd.reduce(batches)
    most = min(most, min(batches) // 2)
    return max(n for n in range(1, most + 1) if shared % n == 0)


def check_images(images: int, batches: Sequence[int]) -> None:
    """Refuse images that are no whole updates of some batch.

    Args:
        images (int): Of a branch.
        batches (Sequence[int]): Of the branches, in samples.

    Raises:
        ValueError: That names the nearest numbers that are.
    """
    whole = int(np.lcm.reduce(batches))
    if images % whole or images < whole:
        below = images // whole * whole
        near = ' or '.join(str(n) for n in (below, below + whole) if n)
        raise ValueError(
            f'--images {images} are no whole updates of the batches '
            f'{", ".join(map(str, batches))}: every branch is to see the '
            f'same, so take {near}')


def branch_config(cfg: Config,
                  batch: int,
                  *,
                  lr: float,
                  images: int,
                  micro_batch: int,
                  checkpoint: str,
                  loss_images: int,
                  rule: str | None = None,
                  seed: int = 0) -> Config:
    """The whole config of a branch.

    Args:
        cfg (Config): Of the training that the checkpoint is of. It is not
            changed.
        batch (int): Samples of one update.
        lr (float): The learning rate at the checkpoint, of the batch that the
            config states.
        images (int): That are trained, a multiple of ``batch``.
        micro_batch (int): Samples of one micro-batch.
        checkpoint (str): To go on from.
        loss_images (int): On which the loss is evaluated.
        rule (str, optional): See :func:`~agvm_mm.large_batch.at_batch`.
            Defaults to None, the optimizer's own.
        seed (int): Of the images' order. Defaults to 0.

    Returns:
        Config: For ``tools/train.py``. Its learning rate is constant, AGVM
        measures every update and multiplies by 1.

    Raises:
        ValueError: If the optimizer has no such rule, or the config several
            optimizers.
    """
    before = copy.deepcopy(cfg)
    if list(wrappers_of(before)) != [None]:
        raise ValueError(
            'optim_wrapper holds several by name, and a branch has one '
            'learning rate: take a config with one optimizer')
    # A rate that is constant has neither a warm-up nor drops.
    before.param_scheduler = []
    _measure(before.optim_wrapper)
    before.optim_wrapper.optimizer.lr = lr
    kind, _ = rule_of(before.optim_wrapper.optimizer, rule)
    own = stated_batch(before)
    after, _ = at_batch(before, batch, rule)
    after.max_samples_per_gpu = micro_batch
    after.train_cfg = ConfigDict(
        type='IterBasedTrainLoop',
        max_iters=images // batch,
        val_interval=NEVER)
    for name in ('val', 'test'):
        for part in ('cfg', 'dataloader', 'evaluator'):
            after[f'{name}_{part}'] = None
    after.default_hooks.checkpoint = ConfigDict(
        type='CheckpointHook', by_epoch=False, interval=NEVER, save_last=False)
    after.default_hooks.logger = ConfigDict(
        type='LoggerHook', interval=1, log_metric_by_epoch=False)
    after.log_processor = ConfigDict(
        type='LogProcessor', window_size=1, by_epoch=False)
    after.randomness = ConfigDict(seed=seed)
    after.resume = False
    after.load_from = checkpoint
    with_runner(after)
    imports = after.get('custom_imports') or ConfigDict(imports=[])
    named = imports['imports']
    named = [named] if isinstance(named, str) else list(named)
    after.custom_imports = ConfigDict(
        imports=[*named, 'agvm_mm', HOOK], allow_failed_imports=False)
    after.custom_hooks = [
        *(after.get('custom_hooks') or []),
        ConfigDict(
            type='BranchHook',
            checkpoint=checkpoint,
            # Of Adam's rule alone: what it does to eps, it does to the root
            # of the second moments.
            times=batch / own if issubclass(kind, AdamRule) else 1.0,
            loss_images=loss_images,
            micro_batch=micro_batch)
    ]
    return after


def _measure(wrapper: ConfigDict) -> None:
    """Let AGVM measure, and multiply by 1."""
    stated = wrapper.get('agvm')
    kind = type_name(wrapper) or 'OptimWrapper'
    if not isinstance(stated, dict):
        if kind not in MEASURING:
            raise ValueError(
                f'optim_wrapper.type={kind!r} measures no noise scale: it '
                f'must be {" or ".join(MEASURING)}, or one of AGVM')
        stated = {}
        own = wrapper.get('constructor')
        if own is not None:
            stated['base_constructor'] = own
        wrapper.type = MEASURING[kind]
        wrapper.constructor = 'AGVMOptimWrapperConstructor'
    kept = {
        key: stated[key]
        for key in ('modules', 'anchor', 'base_constructor') if key in stated
    }
    wrapper.agvm = ConfigDict(
        kept, begin=0, interval=1, ratio_range=(1.0, 1.0))
    # Around the end of the warm-up, which is over.
    if wrapper.pop('clip_grad_range', None) is not None:
        wrapper.pop('clip_grad', None)
