"""LARS and LAMB, from the library pytorch-optimizer, for MMEngine configs.

The large-batch optimizers that AGVM is compared with. List this module in a
config's ``custom_imports``::

    custom_imports = dict(imports=['agvm_mm', 'agvm_mm.optimizers'])
    optim_wrapper = dict(optimizer=dict(type='LARS', lr=0.38))
"""
from mmengine.registry import OPTIMIZERS

try:
    from pytorch_optimizer import LARS, Lamb
except ImportError as error:
    raise ImportError(
        'LARS and LAMB come from the library pytorch-optimizer: install it '
        "with pip install 'pytorch-optimizer>=4.1'") from error

OPTIMIZERS.register_module(name='LARS', module=LARS)
OPTIMIZERS.register_module(name='LAMB', module=Lamb)
