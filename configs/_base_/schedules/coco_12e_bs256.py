# 12 epochs at batch 256: 5,508 updates.
_base_ = ['./coco_12e.py', './coco_bs256.py']
param_scheduler = [*_base_.warmup, _base_.drops]
schedule_source = dict(
    epochs='paper (Faster R-CNN)',
    warmup='ours: as the official SGD configs',
    drops="mmdet's 1x")
