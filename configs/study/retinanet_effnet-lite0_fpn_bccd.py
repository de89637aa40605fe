_base_ = ['mmdet::_base_/models/retinanet_r50_fpn.py', './bccd.py']
# Strides 8 and 16 alone, of a backbone that ends there: cells have 10 to 70
# pixels. With stride 32 it takes 1.4 times as long, and finds no more.
norm_cfg = dict(type='GN', num_groups=8, requires_grad=True)
model = dict(
    data_preprocessor=dict(
        mean=[127, 127, 127], std=[128, 128, 128], pad_size_divisor=1),
    backbone=dict(
        _delete_=True,
        type='EfficientNetLite0',
        out_indices=(2, 4),
        frozen_stages=2,
        keep_frozen=True,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/pretrained/efficientnet-lite0.pth')),
    neck=dict(
        in_channels=[40, 112],
        out_channels=48,
        start_level=0,
        num_outs=2,
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
            scales=[1.5, 2.5, 4.0],
            ratios=[1.0],
            strides=[8, 16])),
    # No image has more than 30 cells.
    test_cfg=dict(nms_pre=100, max_per_img=50))
