# 16 epochs at batch 32: 58,640 updates.
_base_ = ['./coco_16e.py', './coco_bs32.py']
param_scheduler = [*_base_.warmup, _base_.drops]
schedule_source = dict(
    epochs='paper', warmup="ours: mmdet's 500 updates", drops='official')
