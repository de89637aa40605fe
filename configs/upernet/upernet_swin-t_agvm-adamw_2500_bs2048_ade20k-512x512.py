# UperNet Swin-T, AGVM + AdamW, batch 2048: 2,500 updates.
_base_ = [
    '../_base_/pipelines/upernet_swin-t_ade20k.py',
    '../_base_/schedules/ade20k_swin-t_2500_bs2048.py',
    '../_base_/optimizers/agvm-adamw.py',
]
# lr: square-root rule from 6e-5 at 16 (mmseg, Swin).
optim_wrapper = dict(
    optimizer=dict(lr=6e-5 * (2048 / 16)**0.5, weight_decay=0.01),
    agvm=dict(begin=225, interval=5))
lr_source = dict(by='mmseg, Swin', lr=6e-5, batch=16)
optimizer_source = 'mmseg, Swin'
