_base_ = '../digits/panoptic-fpn_r18_fpn_sgd_digits.py'
# Backbone, neck and heads are those of the study's Mask R-CNN.
model = dict(
    backbone=dict(
        base_channels=16,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(0, 1, 2),
        init_cfg=dict(
            _delete_=True,
            type='Pretrained',
            checkpoint='work_dirs/pretrained/faster-rcnn.pth',
            prefix='backbone.')),
    neck=dict(
        in_channels=[16, 32, 64],
        out_channels=32,
        num_outs=3,
        norm_cfg=dict(type='BN', requires_grad=True)),
    rpn_head=dict(
        in_channels=32,
        feat_channels=32,
        anchor_generator=dict(strides=[4, 8, 16]),
        init_cfg=dict(
            type='Normal',
            layer='Conv2d',
            std=0.05,
            override=dict(
                type='Normal', name='rpn_cls', std=0.01, bias_prob=0.02))),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=32, featmap_strides=[4, 8, 16]),
        bbox_head=dict(in_channels=32, fc_out_channels=128),
        mask_roi_extractor=dict(out_channels=32, featmap_strides=[4, 8, 16]),
        mask_head=dict(in_channels=32, conv_out_channels=32)),
    semantic_head=dict(in_channels=32, inner_channels=16, end_level=3),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=100, max_per_img=50),
        rcnn=dict(sampler=dict(num=16))),
    test_cfg=dict(rpn=dict(nms_pre=100, max_per_img=50)))
