_base_ = './upernet_r18_sgd_digits.py'
optim_wrapper = dict(
    type='AGVMOptimWrapper',
    constructor='AGVMOptimWrapperConstructor',
    agvm=dict(begin=200, interval=5))  # begin: the warm-up's end + 100
