"""The config of the run, for what has no runner at hand."""
from __future__ import annotations

from mmengine.config import Config
from mmengine.logging import MessageHub


def config_of_run(hub: MessageHub) -> Config | None:
    """Read back the config that a runner wrote into its message hub.

    Args:
        hub (MessageHub): The run's.

    Returns:
        Config or None: None if there is none, or none that can be read.
    """
    text = hub.get_info('cfg')
    if not text:
        return None
    try:
        return Config.fromstring(text, '.py')
    except Exception:
        # Whatever a config may hold that has no source text.
        return None
