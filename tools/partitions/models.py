"""Builds models of any size without their memory."""
from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator

import torch
import torch.distributed as dist
from mmengine._strategy.utils import MetaTensorContext
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn


class _OnMeta(MetaTensorContext):
    """MMEngine's context, but for what must be real.

    Swin reads a linspace's numbers at build, and a copy of a real tensor (of a
    batch norm's counter, where a momentum encoder is a copy) begins empty.
    """

    def __torch_dispatch__(self,
                           func: Any,
                           types: Any,
                           args: tuple = (),
                           kwargs: dict | None = None) -> Any:
        aten = torch.ops.aten
        is_empty = func.overloadpacket is aten.empty and args[0] == [0]
        if is_empty or func.overloadpacket in (aten.linspace, aten.new_empty):
            return func(*args, **(kwargs or {}))
        return super().__torch_dispatch__(func, types, args, kwargs or {})


def build_on_meta(cfg: Config) -> nn.Module:
    """The model of a config, on the meta device."""
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    with _OnMeta():
        return _build(cfg)


def build_model(cfg: Config) -> nn.Module:
    """The model of a config, with memory only if it cannot do without."""
    try:
        return build_on_meta(cfg)
    except (RuntimeError, TypeError):
        # A model of a user's own may read numbers while it is built.
        return _build(cfg)


def _build(cfg: Config) -> nn.Module:
    try:
        return MODELS.build(cfg.model)
    except (RuntimeError, ValueError) as error:  # RuntimeError: torch 2.0
        if 'process group has not been initialized' not in str(error):
            raise
        with _group_of_one():
            return MODELS.build(cfg.model)


@contextmanager
def _group_of_one() -> Iterator[None]:
    """For mmcv's ``MMSyncBN``, which asks how many ranks there are."""
    dist.init_process_group(
        'gloo', store=dist.HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()
