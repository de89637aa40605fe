"""From the modules' gradient variances to their learning-rate factors.

Notation (paper, section 3.3, equations 5 to 7):

- ``Phi_i``: ``variance``, of module i; i = 1 is the ``anchor``;
- ``mu_i``: ``lr_scale``, the learning-rate factor of module i;
- ``alpha``: ``momentum``, of the moving average of mu.
"""
from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from .parts import ENCODERS

EPS = 1e-6


def find_anchor(anchor: str, modules: Sequence[str]) -> str:
    """The module that an anchor means.

    Args:
        anchor (str): A module's name, or the end of it: 'backbone' is
            'detector.backbone' in a tracker, and 'pts_backbone' where points
            are all that is seen. In a model without a backbone, 'backbone' is
            the image encoder, or the first of its parts.
        modules (Sequence[str]): The modules' names.

    Returns:
        str: The module's name.

    Raises:
        ValueError: If it means none of the modules, or several.
    """
    ends = [f'.{anchor}', f'_{anchor}']
    if anchor == 'backbone':
        ends += [
            f'.{encoder}{part}' for encoder in ENCODERS for part in ('', '.0')
        ]
    found = [m for m in modules if m == anchor]
    for end in ends:
        found = found or [m for m in modules if f'.{m}'.endswith(end)]
    if len(found) == 1:
        return found[0]
    problem = 'is no module with trainable parameters'
    if found:
        problem = f'means several modules: {", ".join(found)}'
    raise ValueError(f'agvm.anchor={anchor!r} {problem}. Set it to one of the '
                     f'modules. Modules: {", ".join(modules)}')


class Modulator:
    r"""Aligns the modules' gradient variances with the anchor's.

    At each measurement

    .. math::
        ratio_i &= clip((\Phi_1 + \epsilon) / (\Phi_i + \epsilon)) \\
        \mu_i &= \alpha \mu_i + (1 - \alpha) \sqrt{ratio_i}

    from mu = 1; the anchor's mu stays 1.

    Args:
        modules (Sequence[str]): The modules' names.
        anchor (str): The module with which the others are aligned; see
            :func:`find_anchor`.
        momentum (float): alpha, in [0, 1).
        ratio_range (tuple[float, float]): Where ratio_i is clipped to, before
            the square root; 0 < low <= high.

    Attributes:
        anchor (str): The anchor's whole name.
        lr_scale (dict[str, float]): Mu by module.

    Raises:
        ValueError: If the anchor is none of the modules, or several.
    """

    def __init__(self, modules: Sequence[str], *, anchor: str, momentum: float,
                 ratio_range: tuple[float, float]) -> None:
        self.modules = list(modules)
        self.anchor = find_anchor(anchor, modules)
        self.momentum = momentum
        self.ratio_range = ratio_range
        # Numbers: a step between two measurements asks no tensor.
        self.lr_scale = dict.fromkeys(self.modules, 1.0)

    def update(self, variance: Tensor) -> None:
        """Take in one measurement.

        Args:
            variance (Tensor): Phi, float64, one element a module. A module
                whose Phi is not finite keeps its mu; if it is the anchor's,
                all do.
        """
        anchor = self.modules.index(self.anchor)
        ratio = (variance[anchor] + EPS) / (variance + EPS)
        target = ratio.clamp(*self.ratio_range).sqrt()
        before = torch.tensor(
            list(self.lr_scale.values()), dtype=torch.float64)
        mu = self.momentum * before + (1 - self.momentum) * target
        measured = torch.isfinite(variance + variance[anchor])
        # Not left to rounding: the anchor's factor is 1 by definition.
        measured[anchor] = False
        mu = torch.where(measured, mu, before)
        self.lr_scale = dict(zip(self.modules, mu.tolist()))

    def state_dict(self) -> dict[str, float]:
        """Mu by module."""
        return dict(self.lr_scale)

    def load_state_dict(self, lr_scale: dict[str, float]) -> None:
        """Take mu of the modules that both sides know by name.

        Args:
            lr_scale (dict[str, float]): From :meth:`state_dict`. Of another
                anchor they become those of this one.
        """
        ours = lr_scale.get(self.anchor, 1.0)
        for module in self.modules:
            if module in lr_scale and module != self.anchor:
                self.lr_scale[module] = lr_scale[module] / ours


@contextmanager
def scaled_lr(param_groups: Sequence[dict],
              lr_scale: Mapping[str, float]) -> Iterator[None]:
    """Multiply each group's lr by its module's factor, while this is open.

    Args:
        param_groups (Sequence[dict]): An optimizer's, each with its module's
            name in ``group['module']``; the lr of one without stays. A lr that
            is a tensor is changed in place: a captured or fused step reads it
            there.
        lr_scale (Mapping[str, float]): Mu by module.
    """
    # Saved and put back, never divided again: 12% of such round trips do not
    # return the same float, and schedulers multiply what they find.
    saved = [
        lr.clone() if isinstance(lr, Tensor) else lr
        for lr in (group['lr'] for group in param_groups)
    ]
    try:
        for group in param_groups:
            group['lr'] *= lr_scale.get(group.get('module'), 1.0)
        yield
    finally:
        for group, lr in zip(param_groups, saved):
            if isinstance(lr, Tensor):
                group['lr'].copy_(lr)
            else:
                group['lr'] = lr
