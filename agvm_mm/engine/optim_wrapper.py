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

    def _inverse_scale(self) -> Tensor:
        # As a tensor on the gradient's device: get_scale() waits for it.
        device = self.optimizer.param_groups[0]['params'][0].device
        return 1 / self.loss_scaler.scale(torch.ones((), device=device))

    def _unscaled(self) -> bool:
        # As the scaler asks itself, which then leaves it out in its step.
        state = self.loss_scaler._per_optimizer_states.get(
            id(self.optimizer), {})
        stage = state.get('stage')
        return stage is not None and stage.name == 'UNSCALED'
