# Written by tools/python_configs.py from
# configs/_base_/optimizers/sgd.py; do not edit.
from mmengine.optim import OptimWrapper
from torch.optim import SGD

custom_imports = dict(imports=['agvm_mm'], allow_failed_imports=False)
# Of a config in this style MMEngine does not import what it lists.
__import__('agvm_mm')
optim_wrapper = dict(
    type=OptimWrapper,
    optimizer=dict(type=SGD, momentum=0.9, weight_decay=0.0001))
optimizer_source = 'official'
