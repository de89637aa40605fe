"""What ``--amp`` makes of a config."""
from __future__ import annotations

from mmengine.config import Config

from agvm_mm.large_batch.settings import type_name, wrappers_of

# The wrappers that --amp knows, and what it makes of them.
MIXED_PRECISION = dict(
    OptimWrapper='AmpOptimWrapper',
    AmpOptimWrapper='AmpOptimWrapper',
    AGVMOptimWrapper='AGVMAmpOptimWrapper',
    AGVMAmpOptimWrapper='AGVMAmpOptimWrapper')


def use_mixed_precision(cfg: Config) -> None:
    """Do as ``--amp`` says, with AGVM or without.

    Args:
        cfg (Config): It is changed: each optimizer wrapper becomes the one
            with mixed precision, its ``loss_scale`` 'dynamic'.

    Raises:
        ValueError: If a wrapper is another one.
    """
    for name, wrapper in wrappers_of(cfg).items():
        kind = type_name(wrapper) or 'OptimWrapper'
        if kind not in MIXED_PRECISION:
            field = f'optim_wrapper.{name}' if name else 'optim_wrapper'
            raise ValueError(
                f'{field}.type={kind!r} has no mixed precision that --amp '
                f'knows: it must be {" or ".join(MIXED_PRECISION)}')
        wrapper['type'] = MIXED_PRECISION[kind]
        wrapper['loss_scale'] = 'dynamic'
