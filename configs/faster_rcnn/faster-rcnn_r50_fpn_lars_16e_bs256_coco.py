# Faster R-CNN R50-FPN, LARS, batch 256: 16 epochs, 7,344 updates.
_base_ = [
    '../_base_/pipelines/faster-rcnn_r50_fpn_coco.py',
    '../_base_/schedules/coco_16e_bs256.py',
    '../_base_/optimizers/lars.py',
]
optim_wrapper = dict(optimizer=dict(lr=0.16 * 2**0.5))
lr_source = dict(by='SGD, official')
