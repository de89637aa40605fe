# RetinaNet R18-FPN, LAMB, batch 10240: 12 epochs, 144 updates.
_base_ = [
    '../_base_/pipelines/retinanet_r18_fpn_coco.py',
    '../_base_/schedules/coco_12e_bs10240.py',
    '../_base_/optimizers/lamb.py',
]
# lr: square-root rule from 5e-3 at 512 (You et al. 2020, ImageNet).
optim_wrapper = dict(optimizer=dict(lr=5e-3 * (10240 / 512)**0.5))
lr_source = dict(by='You et al. 2020, ImageNet', lr=5e-3, batch=512)
