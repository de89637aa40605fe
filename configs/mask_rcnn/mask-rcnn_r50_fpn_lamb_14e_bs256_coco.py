# Mask R-CNN R50-FPN, LAMB, batch 256: 14 epochs, 6,426 updates.
_base_ = [
    '../_base_/pipelines/mask-rcnn_r50_fpn_coco.py',
    '../_base_/schedules/coco_14e_bs256.py',
    '../_base_/optimizers/lamb.py',
]
# lr: square-root rule from 5e-3 at 512 (You et al. 2020, ImageNet).
optim_wrapper = dict(optimizer=dict(lr=5e-3 * (256 / 512)**0.5))
lr_source = dict(by='You et al. 2020, ImageNet', lr=5e-3, batch=512)
