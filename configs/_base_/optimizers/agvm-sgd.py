_base_ = './sgd.py'
optim_wrapper = dict(
    type='AGVMOptimWrapper',
    constructor='AGVMOptimWrapperConstructor',
    agvm=dict(interval=10))  # paper; 5 above batch 1024
