_base_ = [
    'mmseg::_base_/models/fpn_r50.py',
    '../_base_/digits/segmentation.py',
    '../_base_/digits/schedule_iterations.py',
    '../_base_/digits/runtime_iterations.py',
]
# A ResNet-18 of half the width, from scratch: no weights are downloaded. The
# digits weigh more than the two photographs, which cover most of an image.
model = dict(
    pretrained=None,
    data_preprocessor=dict(size_divisor=32),
    backbone=dict(depth=18, base_channels=32, stem_channels=32),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=64),
    decode_head=dict(
        in_channels=[64, 64, 64, 64],
        channels=64,
        num_classes=12,
        loss_decode=dict(class_weight=[10.0] * 10 + [1.0] * 2)))
