# 14 epochs at batch 1,024: 1,610 updates.
_base_ = ['./coco_14e.py', './coco_bs1024.py']
param_scheduler = [*_base_.warmup, _base_.drops]
schedule_source = dict(
    epochs='paper',
    warmup='ours: 2 epochs, as the official code',
    drops='ours: 4 and 2 epochs before the end, as the official 16')
