# You et al. (2020): the weight decay is inside of the trust ratio.
custom_imports = dict(
    imports=['agvm_mm', 'agvm_mm.optimizers'], allow_failed_imports=False)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(
        type='LAMB',
        betas=(0.9, 0.999),
        weight_decay=0.01,
        weight_decouple=False))
