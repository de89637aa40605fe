# 16 epochs at batch 512: 3,680 updates.
_base_ = ['./coco_16e.py', './coco_bs512.py']
param_scheduler = [*_base_.warmup, _base_.drops]
schedule_source = dict(epochs='paper', warmup='official', drops='official')
