# Written by tools/python_configs.py from
# configs/_base_/runtimes/mmseg.py; do not edit.
from mmengine.config import read_base
from agvm_mm import TotalBatchRunner, TotalBatchSizeHook

with read_base():
    from ..mmseg.default_runtime import *

custom_hooks = [dict(type=TotalBatchSizeHook)]
runner_type = TotalBatchRunner
