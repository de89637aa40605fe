"""A config whose processes do not divide the total batch."""
from __future__ import annotations

from mmengine.config import Config, ConfigDict

from .settings import type_name

HOOK = 'LossWeightHook'


def deal_unevenly(cfg: Config, uneven: bool) -> None:
    """Let micro-batches be of two sizes, and their losses weighted.

    Args:
        cfg (Config): It is changed. ``TotalBatchSampler`` deals in it, if
            ``uneven``.
        uneven (bool): Whether that is so. Otherwise what an earlier
            resolution has put in is taken out.

    Raises:
        ValueError: If its epochs are cut short in a way that counts
            micro-batches of one size.
    """
    loader = cfg.train_dataloader
    hooks = list(cfg.get('custom_hooks') or [])
    listed = [hook for hook in hooks if type_name(hook) != HOOK]
    if len(listed) < len(hooks):
        cfg.custom_hooks = listed
    if not uneven:
        return
    if loader.get('num_batch_per_epoch') is not None:
        raise ValueError(
            'train_dataloader.num_batch_per_epoch='
            f'{loader.num_batch_per_epoch} counts batches of one size, which '
            f'total_batch_size={cfg.total_batch_size} has not on this number '
            'of processes: set train_dataloader.dataset.indices to the '
            'samples of an epoch in its place, or train on a number of '
            'processes that divides the total')
    loader.batch_sampler = ConfigDict(type='MicroBatchSampler')
    # It fills up the last update; PyTorch refuses the setting beside it.
    loader.pop('drop_last', None)
    cfg.custom_hooks = [*listed, ConfigDict(type=HOOK)]
