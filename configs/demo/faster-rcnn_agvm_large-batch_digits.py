# A batch that is large for its data: 180 updates of 128 images. There the
# gradient variances of the modules fall apart; tools/demo.sh shows it.
_base_ = '../study/faster-rcnn_r18_fpn_digits.py'
model = dict(backbone=dict(init_cfg=None))  # from scratch

# python tools/make_digits.py data/digits-64 --size 64 --images 1920
data_root = 'data/digits-64/'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(64, 64), keep_ratio=True),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(64, 64), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor')),
]
train_dataloader = dict(
    dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = val_evaluator

total_batch_size = 128
train_cfg = dict(max_epochs=12, val_interval=12)
optim_wrapper = dict(
    type='AGVMOptimWrapper',
    constructor='AGVMOptimWrapperConstructor',
    optimizer=dict(lr=0.04),
    clip_grad=dict(max_norm=5),
    # So short a training has no time to settle: as often, and as soon, as in
    # the study of docs/study.md.
    agvm=dict(begin=20, interval=2, momentum=0.9))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=15),
    dict(type='MultiStepLR', by_epoch=True, milestones=[10, 11], gamma=0.1),
]
default_hooks = dict(
    logger=dict(interval=2), checkpoint=dict(interval=12))
