# 16 epochs at batch 256: 7,344 updates.
_base_ = ['./coco_16e.py', './coco_bs256.py']
param_scheduler = [*_base_.warmup, _base_.drops]
schedule_source = dict(epochs='paper', warmup='official', drops='official')
