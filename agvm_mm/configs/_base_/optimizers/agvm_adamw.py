# Written by tools/python_configs.py from
# configs/_base_/optimizers/agvm-adamw.py; do not edit.
from mmengine.config import read_base
from torch.optim import AdamW
from agvm_mm import AGVMOptimWrapper, AGVMOptimWrapperConstructor

with read_base():
    from .adamw import *

optim_wrapper = dict(
    type=AGVMOptimWrapper,
    optimizer=dict(type=AdamW, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(
        custom_keys=dict(
            absolute_pos_embed=dict(decay_mult=0.0),
            relative_position_bias_table=dict(decay_mult=0.0),
            norm=dict(decay_mult=0.0))),
    constructor=AGVMOptimWrapperConstructor,
    agvm=dict(interval=10))
agvm_source = dict(
    begin='ours: the end of the warm-up + 100, as the official code')
