"""Puts our training loops in the place of MMEngine's."""
from __future__ import annotations

from mmengine.config import Config

from .settings import type_name

OURS = dict(
    EpochBasedTrainLoop='TotalBatchEpochLoop',
    IterBasedTrainLoop='TotalBatchIterLoop')


def use_our_loop(cfg: Config) -> None:
    """Let a run go on at any update after a resume.

    A loop of the user's own stays, and so does any loop of data that our
    sampler does not deal.

    Args:
        cfg (Config): It is changed, where it names a loop of MMEngine's.
    """
    if type_name(cfg.train_dataloader.sampler) != 'TotalBatchSampler':
        return
    settings = cfg.train_cfg
    if 'type' not in settings:
        by_epoch = settings.pop('by_epoch', 'max_iters' not in settings)
        settings.type = ('EpochBasedTrainLoop'
                         if by_epoch else 'IterBasedTrainLoop')
    name = type_name(settings)
    settings.type = OURS.get(name, settings.type)
