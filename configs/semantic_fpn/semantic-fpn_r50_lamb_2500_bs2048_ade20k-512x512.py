# Semantic FPN R50, LAMB, batch 2048: 2,500 updates.
_base_ = [
    '../_base_/pipelines/semantic-fpn_r50_ade20k.py',
    '../_base_/schedules/ade20k_r50_2500_bs2048.py',
    '../_base_/optimizers/lamb.py',
]
# lr: square-root rule from 5e-3 at 512 (You et al. 2020, ImageNet).
optim_wrapper = dict(optimizer=dict(lr=5e-3 * (2048 / 512)**0.5))
lr_source = dict(by='You et al. 2020, ImageNet', lr=5e-3, batch=512)
