_base_ = 'mmdet::_base_/default_runtime.py'
default_hooks = dict(
    logger=dict(interval=10),
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2))
runner_type = 'TotalBatchRunner'
custom_hooks = [dict(type='TotalBatchSizeHook')]
