_base_ = './adamw.py'
# A config adds begin.
optim_wrapper = dict(
    type='AGVMOptimWrapper',
    constructor='AGVMOptimWrapperConstructor',
    agvm=dict(interval=10))  # paper; 5 above batch 1024
agvm_source = dict(
    begin='ours: the end of the warm-up + 100, as the official code')
