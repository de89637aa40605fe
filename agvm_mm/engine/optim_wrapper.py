"""The optimizer wrappers that modulate each module's learning rate."""
from __future__ import annotations

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import Tensor

from .mixin import AGVMMixin


@OPTIM_WRAPPERS.register_module()
class AGVMOptimWrapper(AGVMMixin, OptimWrapper):
    """AGVM in single precision."""

    __doc__ = AGVMMixin.__doc__


@OPTIM_WRAPPERS.register_module()
class AGVMAmpOptimWrapper(AGVMMixin, AmpOptimWrapper):
    """AGVM with automatic mixed precision.

    An update whose gradients overflow, which the loss scaler skips, is not
    measured. Gradients are compared, clipped and stepped as in
    :class:`AGVMOptimWrapper`, whose options this class takes too, beside
    those of MMEngine's ``AmpOptimWrapper``.
    """

    _measures_partly = False

    def _inverse_scale(self) -> Tensor | None:
        if not self.loss_scaler.is_enabled():  # as bfloat16 needs none
            return None
        # By the scaler's own mark: a user may have called its unscale_(), to
        # clip in a way of their own.
        state = self.loss_scaler._per_optimizer_states.get(
            id(self.optimizer), {})
        if 'stage' in state and state['stage'].name == 'UNSCALED':
            return None
        # As a tensor on the gradient's device: get_scale() waits for it.
        device = self.optimizer.param_groups[0]['params'][0].device
        return 1 / self.loss_scaler.scale(torch.ones((), device=device))
