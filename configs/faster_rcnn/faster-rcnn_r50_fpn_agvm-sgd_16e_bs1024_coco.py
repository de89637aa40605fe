# Faster R-CNN R50-FPN, AGVM + SGD, batch 1024: 16 epochs, 1,840 updates.
_base_ = [
    '../_base_/pipelines/faster-rcnn_r50_fpn_coco.py',
    '../_base_/schedules/coco_16e_bs1024.py',
    '../_base_/optimizers/agvm-sgd.py',
]
# lr: square-root rule from 0.38 at 512 (official).
optim_wrapper = dict(
    optimizer=dict(lr=0.38 * (1024 / 512)**0.5),
    agvm=dict(begin=330),
    clip_grad_range=(130, 330))
lr_source = dict(by='official', lr=0.38, batch=512)
reported = dict(paper='35.4 box mAP; best rival 34.2 (MegDet)')
