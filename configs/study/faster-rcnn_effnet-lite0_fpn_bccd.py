_base_ = ['mmdet::_base_/models/faster-rcnn_r50_fpn.py', './bccd.py']
# Strides as RetinaNet's; the RPN's one convolution has no place for a norm.
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
        num_outs=2,
        norm_cfg=norm_cfg),
    rpn_head=dict(
        in_channels=48,
        feat_channels=48,
        anchor_generator=dict(
            scales=[1.5, 2.5, 4.0], ratios=[1.0], strides=[8, 16])),
    roi_head=dict(
        bbox_roi_extractor=dict(
            roi_layer=dict(output_size=5, sampling_ratio=2),
            out_channels=48,
            featmap_strides=[8, 16],
            finest_scale=20),
        bbox_head=dict(
            _delete_=True,
            type='ConvFCBBoxHead',
            num_shared_convs=1,
            num_shared_fcs=1,
            in_channels=48,
            conv_out_channels=48,
            fc_out_channels=128,
            roi_feat_size=5,
            num_classes=3,
            norm_cfg=norm_cfg,
            bbox_coder=dict(
                type='DeltaXYWHBBoxCoder',
                target_stds=[0.1, 0.1, 0.2, 0.2]),
            loss_cls=dict(type='CrossEntropyLoss'),
            loss_bbox=dict(type='L1Loss'))),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=100, max_per_img=50),
        rcnn=dict(sampler=dict(num=48, pos_fraction=0.5))),
    # No image has more than 30 cells.
    test_cfg=dict(
        rpn=dict(nms_pre=100, max_per_img=100), rcnn=dict(max_per_img=50)))
