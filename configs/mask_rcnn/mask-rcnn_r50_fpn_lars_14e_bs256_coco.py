# Mask R-CNN R50-FPN, LARS, batch 256: 14 epochs, 6,426 updates.
_base_ = [
    '../_base_/pipelines/mask-rcnn_r50_fpn_coco.py',
    '../_base_/schedules/coco_14e_bs256.py',
    '../_base_/optimizers/lars.py',
]
optim_wrapper = dict(optimizer=dict(lr=0.16 * 2**0.5))
lr_source = dict(by='SGD, official')
