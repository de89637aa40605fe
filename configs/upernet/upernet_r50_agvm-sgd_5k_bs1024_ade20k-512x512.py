# UperNet R50, AGVM + SGD, batch 1024: 5,000 updates.
_base_ = [
    '../_base_/pipelines/upernet_r50_ade20k.py',
    '../_base_/schedules/ade20k_r50_5k_bs1024.py',
    '../_base_/optimizers/agvm-sgd.py',
]
# lr: square-root rule from 0.01 at 16 (mmseg).
optim_wrapper = dict(
    optimizer=dict(lr=0.01 * (1024 / 16)**0.5, weight_decay=5e-4),
    agvm=dict(begin=350),
    clip_grad_range=(150, 350))
lr_source = dict(by='mmseg', lr=0.01, batch=16)
optimizer_source = 'mmseg'
