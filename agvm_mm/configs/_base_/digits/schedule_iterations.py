# Written by tools/python_configs.py from
# configs/_base_/digits/schedule_iterations.py; do not edit.
from mmengine.optim import LinearLR, OptimWrapper, PolyLR
from mmengine.runner import IterBasedTrainLoop, TestLoop, ValLoop
from torch.optim import SGD

total_batch_size = 16
train_cfg = dict(type=IterBasedTrainLoop, max_iters=1024, val_interval=512)
val_cfg = dict(type=ValLoop)
test_cfg = dict(type=TestLoop)
optim_wrapper = dict(
    type=OptimWrapper,
    optimizer=dict(type=SGD, lr=0.1, momentum=0.9, weight_decay=0.0005))
param_scheduler = [
    dict(type=LinearLR, start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type=PolyLR, by_epoch=False, begin=100, end=1024, power=0.9)
]
