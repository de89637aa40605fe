# UperNet Swin-T, AdamW, batch 32: 160,000 updates.
_base_ = [
    '../_base_/pipelines/upernet_swin-t_ade20k.py',
    '../_base_/schedules/ade20k_swin-t_160k_bs32.py',
    '../_base_/optimizers/adamw.py',
]
# lr: square-root rule from 6e-5 at 16 (mmseg, Swin).
optim_wrapper = dict(
    optimizer=dict(lr=6e-5 * (32 / 16)**0.5, weight_decay=0.01))
lr_source = dict(by='mmseg, Swin', lr=6e-5, batch=16)
optimizer_source = 'mmseg, Swin'
