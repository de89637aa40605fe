# Written by tools/python_configs.py from
# configs/_base_/digits/cpu.py; do not edit.
from agvm_mm import TotalBatchRunner, TotalBatchSizeHook

custom_imports = dict(
    imports=['agvm_mm', 'agvm_mm.cpu'], allow_failed_imports=False)
# Of a config in this style MMEngine does not import what it lists.
__import__('agvm_mm')
__import__('agvm_mm.cpu')
model_wrapper_cfg = dict(
    type='CPUDistributedDataParallel', broadcast_buffers=False)
randomness = dict(seed=0)
runner_type = TotalBatchRunner
custom_hooks = [dict(type=TotalBatchSizeHook)]
