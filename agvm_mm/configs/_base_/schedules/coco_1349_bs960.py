# Written by tools/python_configs.py from
# configs/_base_/schedules/coco_1349_bs960.py; do not edit.
from mmengine.optim import ConstantLR, ExponentialLR, MultiStepLR
from mmengine.runner import IterBasedTrainLoop, TestLoop, ValLoop

total_batch_size = 960
train_cfg = dict(type=IterBasedTrainLoop, max_iters=1349, val_interval=123)
val_cfg = dict(type=ValLoop)
test_cfg = dict(type=TestLoop)
param_scheduler = [
    dict(type=ConstantLR, factor=0.001, by_epoch=False, end=1000000000),
    dict(
        type=ExponentialLR,
        gamma=1.0284782740939042,
        by_epoch=False,
        begin=0,
        end=247),
    dict(
        type=MultiStepLR,
        by_epoch=False,
        begin=0,
        end=1349,
        milestones=[899, 1237],
        gamma=0.1)
]
schedule_source = dict(
    epochs='paper',
    warmup='ours: 2 epochs, as the official code',
    drops="ours: at 8/12 and 11/12 of the updates, mmdet's 1x")
