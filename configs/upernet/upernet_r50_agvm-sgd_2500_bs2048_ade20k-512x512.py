# UperNet R50, AGVM + SGD, batch 2048: 2,500 updates.
_base_ = [
    '../_base_/pipelines/upernet_r50_ade20k.py',
    '../_base_/schedules/ade20k_r50_2500_bs2048.py',
    '../_base_/optimizers/agvm-sgd.py',
]
# lr: square-root rule from 0.01 at 16 (mmseg).
optim_wrapper = dict(
    optimizer=dict(lr=0.01 * (2048 / 16)**0.5, weight_decay=5e-4),
    agvm=dict(begin=225, interval=5),
    clip_grad_range=(25, 225))
lr_source = dict(by='mmseg', lr=0.01, batch=16)
optimizer_source = 'mmseg'
