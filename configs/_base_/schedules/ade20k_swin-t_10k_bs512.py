# 10,000 updates at batch 512, with mmseg's decay for Swin.
_base_ = './ade20k_r50_10k_bs512.py'
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], power=1.0),
]
schedule_source = dict(drops='mmseg, Swin')
