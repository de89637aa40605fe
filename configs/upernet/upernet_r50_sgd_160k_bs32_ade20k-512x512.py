# UperNet R50, SGD, batch 32: 160,000 updates.
_base_ = [
    '../_base_/pipelines/upernet_r50_ade20k.py',
    '../_base_/schedules/ade20k_r50_160k_bs32.py',
    '../_base_/optimizers/sgd.py',
]
# lr: square-root rule from 0.01 at 16 (mmseg).
optim_wrapper = dict(
    optimizer=dict(lr=0.01 * (32 / 16)**0.5, weight_decay=5e-4))
lr_source = dict(by='mmseg', lr=0.01, batch=16)
optimizer_source = 'mmseg'
