# 12 epochs at batch 1,536: 924 updates.
_base_ = ['./coco_12e.py', './coco_bs1536.py']
param_scheduler = [*_base_.warmup, _base_.drops]
schedule_source = dict(
    epochs='paper (Faster R-CNN)',
    warmup='ours: 2 epochs, as the official code',
    drops="mmdet's 1x")
