# You et al. (2020): the weight decay is inside of the trust ratio, and nothing
# else scales the step (the library would divide it by 1 - beta1^t).
custom_imports = dict(
    imports=['agvm_mm', 'agvm_mm.optimizers'], allow_failed_imports=False)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(
        type='LAMB',
        betas=(0.9, 0.999),
        weight_decay=0.01,
        weight_decouple=False,
        adam_debias=True))
optimizer_source = 'You et al. 2020; weight decay: ours'
