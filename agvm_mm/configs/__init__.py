"""The bundled bases in MMEngine's new style, for any train.py.

A config inherits from them by imports::

    from mmengine.config import read_base

    with read_base():
        from agvm_mm.configs._base_.pipelines.mask_rcnn_r50_fpn_coco import *
        from agvm_mm.configs._base_.schedules.coco_14e_bs512 import *
        from agvm_mm.configs._base_.optimizers.agvm_sgd import *

    optim_wrapper.update(
        optimizer=dict(lr=0.32),
        agvm=dict(begin=560),
        clip_grad_range=(360, 560))

``tools/python_configs.py`` writes them from ``configs/_base_/``, where the
sources of the numbers are told, and from mmdet's and mmseg's bases.
"""
