"""Which optimizers come in, and what is said of them."""
from __future__ import annotations

import logging

from mmengine.logging import print_log
from torch.optim import Optimizer

from agvm_mm.measuring.treatment import check_optimizer, treatment_of


def admit(optimizer: Optimizer) -> None:
    """Refuse an optimizer that cannot work, and tell of an inexact one.

    Args:
        optimizer (Optimizer): As it will be stepped.

    Raises:
        ValueError: See
            :func:`~agvm_mm.measuring.treatment.check_optimizer`.
    """
    check_optimizer(optimizer)
    treatment = treatment_of(optimizer)
    if treatment.kind == 'raw':
        print_log(
            f'AGVM measures {type(optimizer).__qualname__} by its raw '
            f'gradient, as it does SGD, because {treatment.why}. '
            'docs/optimizers.md lists the optimizers whose own directions are '
            'compared.',
            logger='current',
            level=logging.WARNING)
