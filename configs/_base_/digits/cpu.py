# What every Digits config shares: it runs on two CPU processes as on GPUs.
custom_imports = dict(
    imports=['agvm_mm', 'agvm_mm.cpu'], allow_failed_imports=False)
model_wrapper_cfg = dict(
    type='CPUDistributedDataParallel', broadcast_buffers=False)
randomness = dict(seed=0)
runner_type = 'TotalBatchRunner'
custom_hooks = [dict(type='TotalBatchSizeHook')]
