# 14 epochs at batch 256: 6,426 updates.
_base_ = ['./coco_14e.py', './coco_bs256.py']
param_scheduler = [*_base_.warmup, _base_.drops]
schedule_source = dict(
    epochs='paper',
    warmup='official',
    drops='ours: 4 and 2 epochs before the end, as the official 16')
