"""Builds models of any size without their memory."""
import torch
from mmengine._strategy.utils import MetaTensorContext
from mmengine.registry import MODELS, init_default_scope


class _OnMeta(MetaTensorContext):
    """MMEngine's context, but Swin reads a linspace's numbers at build."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket is torch.ops.aten.linspace:
            return func(*args, **(kwargs or {}))
        return super().__torch_dispatch__(func, types, args, kwargs or {})


def build_on_meta(cfg):
    """The model of a config, on the meta device."""
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    with _OnMeta():
        return MODELS.build(cfg.model)
