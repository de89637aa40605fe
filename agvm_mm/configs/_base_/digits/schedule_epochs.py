# Written by tools/python_configs.py from
# configs/_base_/digits/schedule_epochs.py; do not edit.
from mmengine.optim import LinearLR, MultiStepLR, OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, TestLoop, ValLoop
from torch.optim import SGD

total_batch_size = 16
train_cfg = dict(type=EpochBasedTrainLoop, max_epochs=8, val_interval=4)
val_cfg = dict(type=ValLoop)
test_cfg = dict(type=TestLoop)
optim_wrapper = dict(
    type=OptimWrapper,
    optimizer=dict(type=SGD, lr=0.02, momentum=0.9, weight_decay=0.0001))
param_scheduler = [
    dict(type=LinearLR, start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type=MultiStepLR, by_epoch=True, milestones=[6, 7], gamma=0.1)
]
