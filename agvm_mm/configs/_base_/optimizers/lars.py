# Written by tools/python_configs.py from
# configs/_base_/optimizers/lars.py; do not edit.
from mmengine.optim import OptimWrapper
from pytorch_optimizer.optimizer import LARS

custom_imports = dict(
    imports=['agvm_mm', 'agvm_mm.optimizers'], allow_failed_imports=False)
# Of a config in this style MMEngine does not import what it lists.
__import__('agvm_mm')
__import__('agvm_mm.optimizers')
optim_wrapper = dict(
    type=OptimWrapper,
    optimizer=dict(
        type=LARS, momentum=0.9, weight_decay=0.0001, trust_coefficient=0.001))
optimizer_source = 'You et al. 2017; weight decay: official'
