# UperNet R50, LARS, batch 1024: 5,000 updates.
_base_ = [
    '../_base_/pipelines/upernet_r50_ade20k.py',
    '../_base_/schedules/ade20k_r50_5k_bs1024.py',
    '../_base_/optimizers/lars.py',
]
# lr: square-root rule from 0.01 at 16 (SGD, mmseg).
optim_wrapper = dict(
    optimizer=dict(lr=0.01 * (1024 / 16)**0.5, weight_decay=5e-4))
lr_source = dict(by='SGD, mmseg', lr=0.01, batch=16)
optimizer_source = 'You et al. 2017; weight decay: mmseg'
