"""The config of the run, for what has no runner at hand."""
from __future__ import annotations

import functools
import logging

from mmengine.config import Config
from mmengine.logging import MessageHub, print_log

from agvm_mm.large_batch.launch import split_by_hand
from agvm_mm.large_batch.settings import counts_updates, type_name


def config_of_run(hub: MessageHub) -> Config | None:
    """Read back the config that a runner wrote into its message hub.

    Args:
        hub (MessageHub): The run's.

    Returns:
        Config or None: None if there is none, or none that can be read. It is
        shared, and not to be changed.
    """
    text = hub.get_info('cfg')
    return _parsed(text) if text else None


# The start of a run asks several times, and MMEngine parses slowly.
@functools.lru_cache(maxsize=1)
def _parsed(text: str) -> Config | None:
    try:
        return Config.fromstring(text, '.py')
    except Exception:
        # Whatever a config may hold that has no source text.
        return None


def warn_of_ignored_total(hub: MessageHub) -> None:
    """Warn of a total batch that is stated for a runner that keeps none.

    Args:
        hub (MessageHub): The run's.
    """
    cfg = config_of_run(hub) or Config()
    total = cfg.get('total_batch_size')
    if total is None or counts_updates(cfg) or split_by_hand(cfg):
        return
    hooks = map(type_name, cfg.get('custom_hooks') or [])
    if 'TotalBatchSizeHook' not in hooks:  # which compares it
        print_log(
            f'The config states total_batch_size={total}, which its runner '
            "does not keep: set runner_type='TotalBatchRunner', or "
            "'TotalBatchFlexibleRunner' in the place of 'FlexibleRunner'.",
            logger='current',
            level=logging.WARNING)
