_base_ = [
    '../_base_/digits/mask-rcnn_r18_fpn.py',
    '../_base_/digits/panoptic.py',
    '../_base_/digits/schedule_epochs.py',
    '../_base_/digits/runtime_epochs.py',
]
model = dict(
    type='PanopticFPN',
    data_preprocessor=dict(
        pad_mask=True, mask_pad_value=0, pad_seg=True, seg_pad_value=255),
    semantic_head=dict(
        type='PanopticFPNHead',
        num_things_classes=10,
        num_stuff_classes=2,
        in_channels=64,
        inner_channels=32,
        start_level=0,
        end_level=4,
        norm_cfg=dict(type='GN', num_groups=8, requires_grad=True),
        loss_seg=dict(
            type='CrossEntropyLoss', ignore_index=255, loss_weight=0.5)),
    panoptic_fusion_head=dict(
        type='HeuristicFusionHead', num_things_classes=10,
        num_stuff_classes=2),
    test_cfg=dict(
        rcnn=dict(
            score_thr=0.5,
            nms=dict(type='nms', iou_threshold=0.5, class_agnostic=True)),
        panoptic=dict(mask_overlap=0.5, stuff_area_limit=64)))
