# UperNet Swin-T, LAMB, batch 1024: 5,000 updates.
_base_ = [
    '../_base_/pipelines/upernet_swin-t_ade20k.py',
    '../_base_/schedules/ade20k_swin-t_5k_bs1024.py',
    '../_base_/optimizers/lamb.py',
]
# lr: square-root rule from 5e-3 at 512 (You et al. 2020, ImageNet).
optim_wrapper = dict(optimizer=dict(lr=5e-3 * (1024 / 512)**0.5))
lr_source = dict(by='You et al. 2020, ImageNet', lr=5e-3, batch=512)
