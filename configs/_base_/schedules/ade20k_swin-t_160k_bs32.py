# 160,000 updates at batch 32, with mmseg's decay for Swin.
_base_ = './ade20k_r50_160k_bs32.py'
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], power=1.0),
]
schedule_source = dict(drops='mmseg, Swin')
