_base_ = './sgd.py'
# A config adds begin and clip_grad_range.
optim_wrapper = dict(
    type='AGVMOptimWrapper',
    constructor='AGVMOptimWrapperConstructor',
    agvm=dict(interval=10),  # paper; 5 above batch 1024
    clip_grad=dict(max_norm=1.0))  # official
agvm_source = dict(
    begin='ours: the end of the warm-up + 100, as the official code',
    clip='ours: within 100 updates of the end of the warm-up, as the official '
    'code')
