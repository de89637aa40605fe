# RetinaNet R18-FPN, LARS, batch 4096: 12 epochs, 348 updates.
_base_ = [
    '../_base_/pipelines/retinanet_r18_fpn_coco.py',
    '../_base_/schedules/coco_12e_bs4096.py',
    '../_base_/optimizers/lars.py',
]
# lr: square-root rule from 0.38 at 512 (SGD, official, Faster R-CNN).
optim_wrapper = dict(optimizer=dict(lr=0.38 * (4096 / 512)**0.5))
lr_source = dict(by='SGD, official, Faster R-CNN', lr=0.38, batch=512)
