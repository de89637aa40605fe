# Written by tools/python_configs.py from
# configs/_base_/digits/panoptic.py; do not edit.
from mmcv.transforms import LoadImageFromFile
from mmdet.datasets import CocoPanopticDataset
from mmdet.datasets.transforms import (
    LoadPanopticAnnotations,
    PackDetInputs,
    Resize,
)
from mmdet.evaluation import CocoPanopticMetric
from mmengine.dataset import DefaultSampler

dataset_type = CocoPanopticDataset
data_root = 'data/digits/'
metainfo = dict(
    classes=('0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'china',
             'flower'),
    thing_classes=('0', '1', '2', '3', '4', '5', '6', '7', '8', '9'),
    stuff_classes=('china', 'flower'))
train_pipeline = [
    dict(type=LoadImageFromFile),
    dict(type=LoadPanopticAnnotations),
    dict(type=Resize, scale=(96, 96), keep_ratio=True),
    dict(type=PackDetInputs)
]
test_pipeline = [
    dict(type=LoadImageFromFile),
    dict(type=Resize, scale=(96, 96), keep_ratio=True),
    dict(
        type=PackDetInputs,
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor'))
]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type=DefaultSampler, shuffle=True),
    dataset=dict(
        type=CocoPanopticDataset,
        metainfo=metainfo,
        data_root='data/digits/',
        ann_file='annotations/panoptic_train.json',
        data_prefix=dict(img='train/', seg='panoptic_train/'),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type=DefaultSampler, shuffle=False),
    dataset=dict(
        type=CocoPanopticDataset,
        metainfo=metainfo,
        data_root='data/digits/',
        ann_file='annotations/panoptic_val.json',
        data_prefix=dict(img='val/', seg='panoptic_val/'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(
    type=CocoPanopticMetric,
    ann_file='data/digits/annotations/panoptic_val.json',
    seg_prefix='data/digits/panoptic_val/')
test_evaluator = val_evaluator
