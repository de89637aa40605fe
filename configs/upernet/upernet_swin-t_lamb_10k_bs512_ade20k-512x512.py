# UperNet Swin-T, LAMB, batch 512: 10,000 updates.
_base_ = [
    '../_base_/pipelines/upernet_swin-t_ade20k.py',
    '../_base_/schedules/ade20k_swin-t_10k_bs512.py',
    '../_base_/optimizers/lamb.py',
]
optim_wrapper = dict(optimizer=dict(lr=5e-3))
lr_source = dict(by='You et al. 2020, ImageNet')
