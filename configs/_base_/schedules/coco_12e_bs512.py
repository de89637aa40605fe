# 12 epochs at batch 512: 2,760 updates.
_base_ = ['./coco_12e.py', './coco_bs512.py']
param_scheduler = [*_base_.warmup, _base_.drops]
schedule_source = dict(
    epochs='paper (Faster R-CNN)',
    warmup='ours: as the official SGD configs',
    drops="mmdet's 1x")
