_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py',
    'mmdet::_base_/datasets/coco_detection.py',
    '../runtimes/mmdet.py',
]
# The R18 of mmdet's retinanet_r18_fpn_1x_coco.py, with the SyncBN of the
# official AGVM configs.
model = dict(
    backbone=dict(
        depth=18,
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        norm_eval=False,
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18')),
    neck=dict(in_channels=[64, 128, 256, 512]))
num_train_images = 117266  # of train2017's 118,287, those with a box
train_dataloader = dict(
    batch_size=32,  # the most of a GPU at once: ours; it was not run on a GPU
    num_workers=8)
