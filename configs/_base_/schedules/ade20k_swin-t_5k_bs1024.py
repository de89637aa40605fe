# 5,000 updates at batch 1,024, with mmseg's decay for Swin.
_base_ = './ade20k_r50_5k_bs1024.py'
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], power=1.0),
]
schedule_source = dict(drops='mmseg, Swin')
