"""Builds models of any size without their memory."""
from __future__ import annotations

from typing import Any

import torch
from mmengine._strategy.utils import MetaTensorContext
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn


class _OnMeta(MetaTensorContext):
    """MMEngine's context, but Swin reads a linspace's numbers at build."""

    def __torch_dispatch__(self,
                           func: Any,
                           types: Any,
                           args: tuple = (),
                           kwargs: dict | None = None) -> Any:
        if func.overloadpacket is torch.ops.aten.linspace:
            return func(*args, **(kwargs or {}))
        return super().__torch_dispatch__(func, types, args, kwargs or {})


def build_on_meta(cfg: Config) -> nn.Module:
    """The model of a config, on the meta device."""
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    with _OnMeta():
        return MODELS.build(cfg.model)


def build_model(cfg: Config) -> nn.Module:
    """The model of a config, with memory only if it cannot do without."""
    try:
        return build_on_meta(cfg)
    except (NotImplementedError, RuntimeError):
        # A model of a user's own may read numbers while it is built.
        return MODELS.build(cfg.model)
