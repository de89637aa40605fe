# Written by tools/python_configs.py from
# configs/_base_/schedules/coco_16e.py; do not edit.
from mmengine.optim import MultiStepLR
from mmengine.runner import EpochBasedTrainLoop, TestLoop, ValLoop

train_cfg = dict(type=EpochBasedTrainLoop, max_epochs=16, val_interval=1)
val_cfg = dict(type=ValLoop)
test_cfg = dict(type=TestLoop)
drops = dict(type=MultiStepLR, by_epoch=True, milestones=[12, 14], gamma=0.1)
