_base_ = './upernet_r18_sgd_digits.py'
# UperNet's head contains its own pyramid, which is named here as a module;
# the classifier alone stays 'decode_head'.
optim_wrapper = dict(
    type='AGVMOptimWrapper',
    constructor='AGVMOptimWrapperConstructor',
    agvm=dict(
        begin=200,  # the warm-up's end + 100
        interval=5,
        modules=dict(fpn=[
            'decode_head.psp_modules', 'decode_head.bottleneck',
            'decode_head.lateral_convs', 'decode_head.fpn_convs',
            'decode_head.fpn_bottleneck'
        ])))
