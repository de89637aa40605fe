# Panoptic FPN R50, AGVM + SGD, batch 512: 14 epochs, 3,220 updates.
_base_ = [
    '../_base_/pipelines/panoptic-fpn_r50_fpn_coco.py',
    '../_base_/schedules/coco_14e_bs512.py',
    '../_base_/optimizers/agvm-sgd.py',
]
optim_wrapper = dict(
    optimizer=dict(lr=0.32), agvm=dict(begin=560), clip_grad_range=(360, 560))
lr_source = dict(by='official, Mask R-CNN')
reported = dict(paper='39.5 PQ')
