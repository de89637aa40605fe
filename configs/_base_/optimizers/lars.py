# You et al. (2017): the trust coefficient is theirs; 1-d parameters are
# neither adapted nor decayed.
custom_imports = dict(
    imports=['agvm_mm', 'agvm_mm.optimizers'], allow_failed_imports=False)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(
        type='LARS', momentum=0.9, weight_decay=1e-4, trust_coefficient=1e-3))
optimizer_source = 'You et al. 2017; weight decay: official'
