_base_ = [
    'mmseg::_base_/models/upernet_swin.py',
    'mmseg::_base_/datasets/ade20k.py',
    '../runtimes/mmseg.py',
]
# As mmseg's swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k.
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/'
            'pretrain/swin/swin_tiny_patch4_window7_224_20220317-1cdeb081.pth')
    ),
    decode_head=dict(in_channels=[96, 192, 384, 768], num_classes=150),
    auxiliary_head=dict(in_channels=384, num_classes=150))
num_train_images = 20210
train_dataloader = dict(
    batch_size=16,  # the most of a GPU at once: ours; it was not run on a GPU
    num_workers=8)
