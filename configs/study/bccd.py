# Photographs of blood cells, as the study trains on them. data/bccd/ stands
# for the folder of GitHub's Shenggan/BCCD_Dataset, by which study.py replaces
# it. The modules studies.* lie beside tools/train.py, which finds them.
_base_ = ['mmdet::_base_/default_runtime.py', '../_base_/digits/cpu.py']
custom_imports = dict(
    imports=[
        'agvm_mm', 'agvm_mm.cpu', 'studies.efficientnet_lite',
        'studies.in_memory'
    ],
    allow_failed_imports=False)
dataset_type = 'XMLDataset'
data_root = 'data/bccd/'
metainfo = dict(classes=('RBC', 'WBC', 'Platelets'))

# A third of each side, averaged: cells have some 30 pixels, platelets 12.
resized = dict(type='Resize', scale=(192, 144), interpolation='area')
train_pipeline = [
    dict(
        type='InMemory',
        transforms=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True),
            resized,
        ]),
    # Cells have no upper side: each of the four ways is as likely.
    dict(
        type='RandomFlip',
        prob=[0.25, 0.25, 0.25],
        direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(
        type='InMemory',
        transforms=[dict(type='LoadImageFromFile'), resized]),
    # instances: CocoMetric collects the truth itself.
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor', 'instances')),
]

train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        metainfo=metainfo,
        data_root=data_root,
        ann_file='ImageSets/Main/train.txt',
        data_prefix=dict(sub_data_root=''),
        # A box of BCCD has no width: RetinaNet would assign it all anchors
        # that overlap nothing.
        filter_cfg=dict(filter_empty_gt=True, bbox_min_size=2),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        metainfo=metainfo,
        data_root=data_root,
        ann_file='ImageSets/Main/val.txt',
        data_prefix=dict(sub_data_root=''),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='CocoMetric', ann_file=None, metric='bbox')
test_evaluator = val_evaluator

# 24 epochs of 205 images: 624 updates.
total_batch_size = 8
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=24, val_interval=6)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=26),
    dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True),
]
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=26),
    checkpoint=dict(type='CheckpointHook', interval=6, max_keep_ckpts=1))
