# Faster R-CNN R50-FPN, LARS, batch 512: 16 epochs, 3,680 updates.
_base_ = [
    '../_base_/pipelines/faster-rcnn_r50_fpn_coco.py',
    '../_base_/schedules/coco_16e_bs512.py',
    '../_base_/optimizers/lars.py',
]
optim_wrapper = dict(optimizer=dict(lr=0.38))
lr_source = dict(by='SGD, official')
