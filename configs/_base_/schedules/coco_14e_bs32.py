# 14 epochs at batch 32: 51,310 updates.
_base_ = ['./coco_14e.py', './coco_bs32.py']
param_scheduler = [*_base_.warmup, _base_.drops]
schedule_source = dict(
    epochs='paper',
    warmup="ours: mmdet's 500 updates",
    drops='ours: 4 and 2 epochs before the end, as the official 16')
