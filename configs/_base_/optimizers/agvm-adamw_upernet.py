_base_ = './agvm-adamw.py'
# UperNet's head contains its own pyramid, which is named here as a module; the
# classifier alone stays 'decode_head'.
optim_wrapper = dict(
    agvm=dict(
        modules=dict(fpn=[
            'decode_head.psp_modules', 'decode_head.bottleneck',
            'decode_head.lateral_convs', 'decode_head.fpn_convs',
            'decode_head.fpn_bottleneck'
        ])))
