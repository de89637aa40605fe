_base_ = [
    'mmdet::_base_/models/cascade-mask-rcnn_r50_fpn.py',
    'mmdet::_base_/datasets/coco_instance.py',
    '../runtimes/mmdet.py',
]
# The paper's UniNet-G is not public. This is mmdet's own Swin with the depths
# of Swin-L and 7/3 of its width: over 1e9 parameters, from scratch.
model = dict(
    backbone=dict(
        _delete_=True,
        type='SwinTransformer',
        embed_dims=448,
        depths=[2, 2, 18, 2],
        num_heads=[14, 28, 56, 112],
        window_size=7,
        mlp_ratio=4,
        qkv_bias=True,
        drop_path_rate=0.3,
        patch_norm=True,
        out_indices=(0, 1, 2, 3),
        with_cp=True,  # activation checkpointing
        convert_weights=False,
        init_cfg=None),
    neck=dict(in_channels=[448, 896, 1792, 3584]))
# Parameters, gradients and optimizer state in shards, one a GPU.
runner_type = 'TotalBatchFlexibleRunner'
strategy = dict(
    type='AGVMFSDPStrategy',
    state_dict_cfg='sharded',
    model_wrapper=dict(
        type='MMFullyShardedDataParallel',
        use_orig_params=True,
        auto_wrap_policy=dict(type='wrap_classes', classes=['SwinBlock'])))
default_hooks = dict(checkpoint=dict(by_epoch=False,
                                     interval=123))  # of an epoch's updates
log_processor = dict(by_epoch=False)
train_dataloader = dict(
    batch_size=2,  # the most of a GPU at once: ours; it was not run on a GPU
    num_workers=8,
    sampler=dict(type='InfiniteSampler', shuffle=True))
