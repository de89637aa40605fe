# Written by tools/python_configs.py from
# configs/_base_/optimizers/lamb.py; do not edit.
from mmengine.optim import OptimWrapper

custom_imports = dict(
    imports=['agvm_mm', 'agvm_mm.optimizers'], allow_failed_imports=False)
# Of a config in this style MMEngine does not import what it lists.
__import__('agvm_mm')
__import__('agvm_mm.optimizers')
optim_wrapper = dict(
    type=OptimWrapper,
    optimizer=dict(
        type='LAMB',
        betas=(0.9, 0.999),
        weight_decay=0.01,
        weight_decouple=False,
        adam_debias=True))
optimizer_source = 'You et al. 2020; weight decay: ours'
