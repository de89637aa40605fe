"""LARS and LAMB, from the library pytorch-optimizer, for MMEngine configs.

The large-batch optimizers that AGVM is compared with. List this module in a
config's ``custom_imports``::

    custom_imports = dict(imports=['agvm_mm', 'agvm_mm.optimizers'])
    optim_wrapper = dict(optimizer=dict(type='LARS', lr=0.38))
"""
from typing import Any

import torch
from mmengine.registry import OPTIMIZERS

try:
    from pytorch_optimizer import LARS, Lamb
except ImportError as error:
    raise ImportError(
        'LARS and LAMB come from the library pytorch-optimizer: install it '
        "with pip install 'pytorch-optimizer>=4.1'") from error


def _refused(*_: Any, **__: Any) -> None:
    raise ValueError(
        "optimizer.type='LARS' needs torch 2.1 or newer: pytorch-optimizer "
        f'uses a function that torch {torch.__version__} lacks')


# Its step would fail, in the first update.
if not hasattr(torch, '_foreach_copy_'):
    LARS = _refused
OPTIMIZERS.register_module(name='LARS', module=LARS)
OPTIMIZERS.register_module(name='LAMB', module=Lamb)
