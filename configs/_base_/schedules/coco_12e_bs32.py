# 12 epochs at batch 32: 43,980 updates.
_base_ = ['./coco_12e.py', './coco_bs32.py']
param_scheduler = [*_base_.warmup, _base_.drops]
schedule_source = dict(
    epochs='paper (Faster R-CNN)',
    warmup="ours: mmdet's 500 updates",
    drops="mmdet's 1x")
