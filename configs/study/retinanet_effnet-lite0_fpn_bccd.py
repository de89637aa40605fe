_base_ = ['mmdet::_base_/models/retinanet_r50_fpn.py', './bccd.py']
norm_cfg = dict(type='GN', num_groups=8, requires_grad=True)
model = dict(
    data_preprocessor=dict(
        mean=[127, 127, 127], std=[128, 128, 128], pad_size_divisor=1),
    backbone=dict(
        _delete_=True,
        type='EfficientNetLite0',
        out_indices=(2, 4, 6),
        frozen_stages=2,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/pretrained/efficientnet-lite0.pth')),
    neck=dict(
        in_channels=[40, 112, 320],
        out_channels=48,
        start_level=0,
        num_outs=3,
        norm_cfg=norm_cfg),
    bbox_head=dict(
        num_classes=3,
        in_channels=48,
        feat_channels=48,
        stacked_convs=2,
        norm_cfg=norm_cfg,
        anchor_generator=dict(
            _delete_=True,
            type='AnchorGenerator',
            scales=[1.5, 2.0, 2.75],
            ratios=[1.0],
            strides=[8, 16, 32])),
    test_cfg=dict(nms_pre=300))
