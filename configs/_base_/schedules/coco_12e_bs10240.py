# 12 epochs at batch 10,240: 144 updates.
_base_ = ['./coco_12e.py', './coco_bs10240.py']
param_scheduler = [*_base_.warmup, _base_.drops]
schedule_source = dict(
    epochs="ours: as the paper's Faster R-CNN with AdamW",
    warmup='ours: 2 epochs, as the official code',
    drops="mmdet's 1x")
