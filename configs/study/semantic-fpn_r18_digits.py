_base_ = '../digits/semantic-fpn_r18_sgd_digits.py'
# A quarter of ResNet-18's width, on images of 64 x 64.
model = dict(
    pretrained=None,
    backbone=dict(
        base_channels=16,
        stem_channels=16,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/pretrained/semantic-fpn.pth',
            prefix='backbone.')),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=32),
    decode_head=dict(in_channels=[32, 32, 32, 32], channels=32))
