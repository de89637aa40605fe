# Panoptic FPN R50, AGVM + SGD, batch 256: 14 epochs, 6,426 updates.
_base_ = [
    '../_base_/pipelines/panoptic-fpn_r50_fpn_coco.py',
    '../_base_/schedules/coco_14e_bs256.py',
    '../_base_/optimizers/agvm-sgd.py',
]
optim_wrapper = dict(
    optimizer=dict(lr=0.16 * 2**0.5),
    agvm=dict(begin=1020),
    clip_grad=dict(max_norm=1.0),
    clip_grad_range=(820, 1020))
lr_source = dict(by='official, Mask R-CNN')
agvm_source = dict(
    begin='ours: the end of the warm-up + 100, as the official code',
    clip=
    'ours: within 100 updates of the end of the warm-up, as the official code')
reported = dict(paper='39.3 PQ')
