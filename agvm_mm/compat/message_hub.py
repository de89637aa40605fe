"""Lets a run that resumes read its own config in its message hub.

MMEngine 0.10's ``Runner`` writes the config into the hub before it resumes,
and the checkpoint's hub then puts that of the run before in its place: with
another length, say, by which a warm-up in epochs would be counted. A hub that
does not save the config would let this go.
"""
from __future__ import annotations

from functools import wraps
from typing import Any

from mmengine.logging import MessageHub


def keep_config_on_resume(hub: MessageHub) -> None:
    """Let a message hub keep its config when it loads a checkpoint's state.

    Args:
        hub (MessageHub): Of the run. Others are not touched.
    """
    load = hub.load_state_dict
    if hasattr(load, '__wrapped__'):
        return

    @wraps(load)
    def load_state_dict(state_dict: Any) -> None:
        cfg = hub.get_info('cfg')
        load(state_dict)
        if cfg is not None:
            hub.update_info('cfg', cfg)

    hub.load_state_dict = load_state_dict  # type: ignore[method-assign]
