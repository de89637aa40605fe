# Panoptic FPN R50, AGVM + SGD, batch 256: 14 epochs, 6,426 updates.
_base_ = [
    '../_base_/pipelines/panoptic-fpn_r50_fpn_coco.py',
    '../_base_/schedules/coco_14e_bs256.py',
    '../_base_/optimizers/agvm-sgd.py',
]
optim_wrapper = dict(
    optimizer=dict(lr=0.16 * 2**0.5),
    agvm=dict(begin=1020),
    clip_grad_range=(820, 1020))
lr_source = dict(by='official, Mask R-CNN')
reported = dict(paper='39.3 PQ')
