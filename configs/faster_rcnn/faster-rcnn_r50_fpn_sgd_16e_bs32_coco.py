# Faster R-CNN R50-FPN, SGD, batch 32: 16 epochs, 58,640 updates.
_base_ = [
    '../_base_/pipelines/faster-rcnn_r50_fpn_coco.py',
    '../_base_/schedules/coco_16e_bs32.py',
    '../_base_/optimizers/sgd.py',
]
# lr: square-root rule from 0.16 * 2**0.5 at 256 (official).
optim_wrapper = dict(optimizer=dict(lr=0.16 * 2**0.5 * (32 / 256)**0.5))
lr_source = dict(by='official', lr=0.16 * 2**0.5, batch=256)
reported = dict(paper='36.8 box mAP', official='37.1 box mAP')
