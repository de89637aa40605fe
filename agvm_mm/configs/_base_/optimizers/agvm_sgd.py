# Written by tools/python_configs.py from
# configs/_base_/optimizers/agvm-sgd.py; do not edit.
from mmengine.config import read_base
from torch.optim import SGD
from agvm_mm import AGVMOptimWrapper, AGVMOptimWrapperConstructor

with read_base():
    from .sgd import *

optim_wrapper = dict(
    type=AGVMOptimWrapper,
    optimizer=dict(type=SGD, momentum=0.9, weight_decay=0.0001),
    constructor=AGVMOptimWrapperConstructor,
    agvm=dict(interval=10),
    clip_grad=dict(max_norm=1.0))
agvm_source = dict(
    begin='ours: the end of the warm-up + 100, as the official code',
    clip=
    'ours: within 100 updates of the end of the warm-up, as the official code')
