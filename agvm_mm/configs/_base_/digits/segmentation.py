# Written by tools/python_configs.py from
# configs/_base_/digits/segmentation.py; do not edit.
from mmcv.transforms import LoadImageFromFile
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmseg.datasets import BaseSegDataset, LoadAnnotations, PackSegInputs
from mmseg.datasets.transforms import Resize
from mmseg.evaluation import IoUMetric

dataset_type = BaseSegDataset
data_root = 'data/digits/'
metainfo = dict(
    classes=('0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'china',
             'flower'))
train_pipeline = [
    dict(type=LoadImageFromFile),
    dict(type=LoadAnnotations, reduce_zero_label=True),
    dict(type=Resize, scale=(96, 96), keep_ratio=True),
    dict(type=PackSegInputs)
]
test_pipeline = [
    dict(type=LoadImageFromFile),
    dict(type=Resize, scale=(96, 96), keep_ratio=True),
    dict(type=LoadAnnotations, reduce_zero_label=True),
    dict(type=PackSegInputs)
]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type=InfiniteSampler, shuffle=True),
    dataset=dict(
        type=BaseSegDataset,
        metainfo=dict(
            classes=('0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'china',
                     'flower')),
        data_root='data/digits/',
        reduce_zero_label=True,
        img_suffix='.png',
        data_prefix=dict(img_path='train', seg_map_path='semantic/train'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type=DefaultSampler, shuffle=False),
    dataset=dict(
        type=BaseSegDataset,
        metainfo=dict(
            classes=('0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'china',
                     'flower')),
        data_root='data/digits/',
        reduce_zero_label=True,
        img_suffix='.png',
        data_prefix=dict(img_path='val', seg_map_path='semantic/val'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type=IoUMetric, iou_metrics=['mIoU'])
test_evaluator = val_evaluator
