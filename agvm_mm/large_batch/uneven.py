"""A config whose processes do not divide the total batch."""
from __future__ import annotations

from mmengine.config import Config, ConfigDict

from .settings import type_name

HOOK = 'LossWeightHook'


def check_epochs(cfg: Config) -> None:
    """Refuse epochs of as many batches, which would have to be of one size.

    Args:
        cfg (Config): Whose processes do not divide the total batch.

    Raises:
        ValueError: If it states ``num_batch_per_epoch``.
    """
    stated = cfg.train_dataloader.get('num_batch_per_epoch')
    if stated is not None:
        raise ValueError(
            f'train_dataloader.num_batch_per_epoch={stated} counts batches of '
            f'one size, which total_batch_size={cfg.total_batch_size} has not '
            'on this number of processes: set train_dataloader.dataset.'
            'indices to the samples of an epoch in its place, or train on a '
            'number of processes that divides the total')


def deal_unevenly(cfg: Config, uneven: bool) -> None:
    """Let micro-batches be of two sizes, and their losses weighted.

    Args:
        cfg (Config): It is changed. ``TotalBatchSampler`` deals in it, if
            ``uneven``.
        uneven (bool): Whether that is so. Otherwise what an earlier
            resolution has put in is taken out.
    """
    loader = cfg.train_dataloader
    hooks = list(cfg.get('custom_hooks') or [])
    listed = [hook for hook in hooks if type_name(hook) != HOOK]
    if len(listed) < len(hooks):
        cfg.custom_hooks = listed
    if not uneven:
        return
    loader.batch_sampler = ConfigDict(type='MicroBatchSampler')
    # It fills up the last update; PyTorch refuses the setting beside it.
    loader.pop('drop_last', None)
    cfg.custom_hooks = [*listed, ConfigDict(type=HOOK)]
