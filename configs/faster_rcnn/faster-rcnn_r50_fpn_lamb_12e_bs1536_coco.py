# Faster R-CNN R50-FPN, LAMB, batch 1536: 12 epochs, 924 updates.
_base_ = [
    '../_base_/pipelines/faster-rcnn_r50_fpn_coco.py',
    '../_base_/schedules/coco_12e_bs1536.py',
    '../_base_/optimizers/lamb.py',
]
# lr: square-root rule from 5e-3 at 512 (You et al. 2020, ImageNet).
optim_wrapper = dict(optimizer=dict(lr=5e-3 * (1536 / 512)**0.5))
lr_source = dict(by='You et al. 2020, ImageNet', lr=5e-3, batch=512)
reported = dict(paper='33.2 box mAP')
