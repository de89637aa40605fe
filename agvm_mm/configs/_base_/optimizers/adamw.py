# Written by tools/python_configs.py from
# configs/_base_/optimizers/adamw.py; do not edit.
from mmengine.optim import OptimWrapper
from torch.optim import AdamW

custom_imports = dict(imports=['agvm_mm'], allow_failed_imports=False)
# Of a config in this style MMEngine does not import what it lists.
__import__('agvm_mm')
optim_wrapper = dict(
    type=OptimWrapper,
    optimizer=dict(type=AdamW, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(
        custom_keys=dict(
            absolute_pos_embed=dict(decay_mult=0.0),
            relative_position_bias_table=dict(decay_mult=0.0),
            norm=dict(decay_mult=0.0))))
optimizer_source = 'mmdet, Swin'
