r"""Three changes of AGVM that the study tries.

Why each, and how it is judged: docs/study/variants.md, written before their
runs. A config that lists ``studies.agvm_variants`` in ``custom_imports`` can
name one. In each, one thing is not AGVM's: how variances become factors.

**The noise scale and Phi.** With n replicas of b samples each, B = n b the
samples of an update, and S, ``|G|^2`` as in ``agvm_mm.algorithm.variance``::

    |mu_g|^2 = |G|^2 - S / n              the signal
    B_i = S b / |mu_g|^2                  the noise scale
    x = B_i / B = (S / n) / |mu_g|^2      noise over signal, of this update
    Phi = (2 S / n) / (|G|^2 + S / n) = 2 x / (1 + 2 x)

so that ``x = Phi / (2 (1 - Phi))``, and the best learning rate, by McCandlish
et al. (2018, https://arxiv.org/abs/1812.06162, section 2.2), is::

    eps_max / (1 + B_i / B) = eps_max (1 - Phi) / (1 - Phi / 2)

A measurement's B_i / B thus is a function of its Phi. Where the batch is
large, x is small and Phi = 2 x: AGVM's factor becomes sqrt(B_1 / B_i), and the
one of the noise scales 1. Where it is small, Phi is near 1: AGVM's becomes 1,
and the other B_1 / B_i. They are the two ends of each other.
"""
from __future__ import annotations

from typing import Any, Mapping, Sequence

import torch
from mmengine.registry import OPTIM_WRAPPERS
from torch import Tensor

from agvm_mm.algorithm.modulator import Modulator
from agvm_mm.engine.optim_wrapper import AGVMOptimWrapper


class MeanOneModulator(Modulator):
    r"""Moves learning rate between the modules, and adds none.

    What is applied is :math:`\mu_i / m`, with m the mean of mu over the
    parameters, so that its mean is 1. The anchor's is then :math:`1 / m`.

    Args:
        modules (Sequence[str]): The modules' names.
        sizes (Mapping[str, int]): Each one's trainable parameters.
        **settings: Of :class:`~agvm_mm.algorithm.modulator.Modulator`.

    Attributes:
        lr_scale (dict[str, float]): The applied factors, by module.
        mu (dict[str, float]): AGVM's, which a checkpoint holds.
    """

    def __init__(self, modules: Sequence[str], *, sizes: Mapping[str, int],
                 **settings: Any) -> None:
        super().__init__(modules, **settings)
        self.sizes = sizes
        self.mu = self.lr_scale

    def update(self, variance: Tensor) -> None:
        """Take in one measurement.

        Args:
            variance (Tensor): Phi, float64, one element a module.
        """
        self.lr_scale = self.mu
        super().update(variance)
        self._normalize()

    def state_dict(self) -> dict[str, float]:
        """Mu by module, before it is divided by its mean."""
        return dict(self.mu)

    def load_state_dict(self, lr_scale: dict[str, float]) -> None:
        """Take mu of the modules that both sides know by name."""
        self.lr_scale = self.mu
        super().load_state_dict(lr_scale)
        self._normalize()

    def _normalize(self) -> None:
        self.mu = self.lr_scale
        total = sum(self.sizes[m] * mu for m, mu in self.mu.items())
        mean = total / sum(self.sizes.values())
        self.lr_scale = {m: mu / mean for m, mu in self.mu.items()}


class NoiseScaleModulator(Modulator):
    r"""Gives each module the rate that its noise scale asks for.

    The target of mu is :math:`(1 + B_1 / B) / (1 + B_i / B)` in place of
    :math:`\sqrt{\Phi_1 / \Phi_i}`; it is clipped to the square root of
    ``ratio_range``, where AGVM's factors are. A module whose measurement
    shows no signal above the noise (Phi of 1 or more) has no B_i, and keeps
    its mu; if it is the anchor's, all do. Phi is that of the estimator
    'replica'; see the head of this file.
    """

    def update(self, variance: Tensor) -> None:
        """Take in one measurement.

        Args:
            variance (Tensor): Phi, float64, one element a module.
        """
        inverse = (1 - variance) / (1 - variance / 2)  # 1 / (1 + B_i / B)
        inverse = torch.where(inverse > 0, inverse, torch.nan)
        # AGVM clips a ratio and takes its square root. These are 1 or more:
        # its epsilon of 1e-6 moves no factor by more than half of that share.
        super().update(inverse**-2)


class DebiasedModulator(Modulator):
    r"""Averages the measurements alone, without a start at 1.

    After t measurements mu is their average with weights
    :math:`\alpha^{t - s}`, s = 1 to t, as if a moving average that starts at 0
    were divided by :math:`1 - \alpha^t` (Kingma and Ba 2015,
    https://arxiv.org/abs/1412.6980, section 3). The first one is mu itself.

    Args:
        modules (Sequence[str]): The modules' names.
        momentum (float): alpha, in [0, 1).
        **settings: Of :class:`~agvm_mm.algorithm.modulator.Modulator`.

    Attributes:
        counts (dict[str, int]): Of each module's measurements, t. A
            checkpoint holds them beside mu.
    """

    def __init__(self, modules: Sequence[str], *, momentum: float,
                 **settings: Any) -> None:
        super().__init__(modules, momentum=momentum, **settings)
        self.alpha = momentum
        self.counts = dict.fromkeys(self.modules, 0)

    def update(self, variance: Tensor) -> None:
        """Take in one measurement.

        Args:
            variance (Tensor): Phi, float64, one element a module. Only what
                moves a module's mu is counted.
        """
        anchor = variance[self.modules.index(self.anchor)]
        measured = torch.isfinite(variance + anchor).tolist()
        for module, taken in zip(self.modules, measured):
            self.counts[module] += taken
        power = self.alpha**torch.tensor(
            list(self.counts.values()), dtype=torch.float64)
        # One a module. Of a module never measured it is NaN, and not used.
        self.momentum = (self.alpha - power) / (1 - power)
        super().update(variance)


class VariantWrapper(AGVMOptimWrapper):
    """AGVM with another modulator in the place of its own.

    Args:
        optimizer (torch.optim.Optimizer): Its groups are modules.
        agvm (dict): The options of AGVM.
        **kwargs: For the base class.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, *, agvm: dict,
                 **kwargs: Any) -> None:
        super().__init__(optimizer, agvm=agvm, **kwargs)
        own = self.modulator
        self.modulator = self.modulation.modulator = self._changed(
            own.modules,
            anchor=own.anchor,
            momentum=own.momentum,
            ratio_range=own.ratio_range)

    def _changed(self, modules: Sequence[str], **settings: Any) -> Modulator:
        """The modulator, from the settings of AGVM's."""
        raise NotImplementedError


@OPTIM_WRAPPERS.register_module()
class AGVMMeanOneOptimWrapper(VariantWrapper):
    """AGVM with :class:`MeanOneModulator`."""

    def _changed(self, modules: Sequence[str], **settings: Any) -> Modulator:
        sizes = dict.fromkeys(modules, 0)
        for group in self.optimizer.param_groups:
            if group['module'] in sizes:
                sizes[group['module']] += sum(
                    p.numel() for p in group['params'] if p.requires_grad)
        return MeanOneModulator(modules, sizes=sizes, **settings)


@OPTIM_WRAPPERS.register_module()
class AGVMNoiseScaleOptimWrapper(VariantWrapper):
    """AGVM with :class:`NoiseScaleModulator`."""

    def _changed(self, modules: Sequence[str], **settings: Any) -> Modulator:
        return NoiseScaleModulator(modules, **settings)


@OPTIM_WRAPPERS.register_module()
class AGVMDebiasedOptimWrapper(VariantWrapper):
    """AGVM with :class:`DebiasedModulator`."""

    def _changed(self, modules: Sequence[str], **settings: Any) -> Modulator:
        return DebiasedModulator(modules, **settings)

    def state_dict(self) -> dict:
        """The base class's; ``['agvm']['counts']`` has the measurements."""
        state_dict = super().state_dict()
        state_dict['agvm']['counts'] = dict(self.modulator.counts)
        return state_dict

    def load_state_dict(self, state_dict: dict) -> None:
        """Load a checkpoint's state.

        Args:
            state_dict (dict): Of an optimizer wrapper. Where another than this
                one wrote it, the average begins anew.
        """
        super().load_state_dict(state_dict)
        counts = state_dict.get('agvm', {}).get('counts', {})
        self.modulator.counts.update(
            (m, counts[m]) for m in self.modulator.modules if m in counts)
