_base_ = '../digits/upernet_r18_sgd_digits.py'
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
    decode_head=dict(in_channels=[16, 32, 64, 128], channels=32),
    auxiliary_head=dict(in_channels=64, channels=16))
