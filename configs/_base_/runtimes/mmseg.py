_base_ = 'mmseg::_base_/default_runtime.py'
# A checkpoint and a validation at each tenth of the training: see schedules.
custom_hooks = [dict(type='TotalBatchSizeHook')]
runner_type = 'TotalBatchRunner'
