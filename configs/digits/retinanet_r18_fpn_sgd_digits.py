_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py',
    '../_base_/digits/detection.py',
    '../_base_/digits/schedule_epochs.py',
    '../_base_/digits/runtime_epochs.py',
]
# A ResNet-18 of half the width, from scratch: no weights are downloaded.
# Its pyramid keeps the stride of 4 (RetinaNet starts at 8): digits are small.
model = dict(
    backbone=dict(
        depth=18,
        base_channels=32,
        frozen_stages=-1,
        norm_eval=False,
        init_cfg=None),
    neck=dict(
        in_channels=[32, 64, 128, 256],
        out_channels=64,
        start_level=0,
        num_outs=5),
    bbox_head=dict(
        num_classes=10,
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        norm_cfg=dict(type='GN', num_groups=8, requires_grad=True),
        anchor_generator=dict(strides=[4, 8, 16, 32, 64])))
# Normalised, its head trains from scratch at a higher rate than the others;
# it is also slower to learn, and faster to run: 12 epochs.
optim_wrapper = dict(optimizer=dict(lr=0.05))
train_cfg = dict(max_epochs=12)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='MultiStepLR', by_epoch=True, milestones=[9, 11], gamma=0.1),
]
