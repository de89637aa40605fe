# UperNet Swin-T, AGVM + AdamW, batch 512: 10,000 updates.
_base_ = [
    '../_base_/pipelines/upernet_swin-t_ade20k.py',
    '../_base_/schedules/ade20k_swin-t_10k_bs512.py',
    '../_base_/optimizers/agvm-adamw.py',
]
# lr: square-root rule from 6e-5 at 16 (mmseg, Swin).
optim_wrapper = dict(
    optimizer=dict(lr=6e-5 * (512 / 16)**0.5, weight_decay=0.01),
    agvm=dict(begin=600))
lr_source = dict(by='mmseg, Swin', lr=6e-5, batch=16)
optimizer_source = 'mmseg, Swin'
