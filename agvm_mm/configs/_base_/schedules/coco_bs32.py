# Written by tools/python_configs.py from
# configs/_base_/schedules/coco_bs32.py; do not edit.
from mmengine.optim import LinearLR

total_batch_size = 32
warmup = [
    dict(type=LinearLR, start_factor=0.001, by_epoch=False, begin=0, end=501)
]
