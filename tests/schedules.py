"""Every scheduler of MMEngine, mmdet and mmseg, in a few steps."""
from __future__ import annotations

# What each kind is given; the suffix of its name says what it schedules.
KINDS = dict(
    Constant=dict(factor=0.5, end=8),
    CosineAnnealing=dict(T_max=12, eta_min_ratio=0.1),
    CosineRestart=dict(
        periods=[4, 8], restart_weights=[1, 0.5], eta_min=0, begin=0, end=12),
    Exponential=dict(gamma=0.9),
    Linear=dict(start_factor=0.1, end=8),
    MultiStep=dict(milestones=[3, 7]),
    OneCycle=dict(eta_max=0.1, total_steps=13),
    Poly=dict(power=0.9, end=12),
    QuadraticWarmup=dict(end=8),
    ReduceOnPlateau=dict(
        patience=1, factor=0.5, min_value=1e-6, _metrics=True),
    Step=dict(step_size=3))
SCOPES = dict(QuadraticWarmup='mmdet.')
# OneCycle's schedules learning rates alone.
SUFFIXES = {
    kind: ('LR', 'ParamScheduler') if kind == 'OneCycle' else
    ('LR', 'Momentum', 'ParamScheduler')
    for kind in KINDS
}


def _settings(kind: str, suffix: str) -> dict:
    settings = dict(
        KINDS[kind],
        type=f'{SCOPES.get(kind, "")}{kind}{suffix}',
        by_epoch='_metrics' in KINDS[kind])
    if suffix == 'ParamScheduler':
        settings['param_name'] = 'lr' if kind == 'OneCycle' else 'weight_decay'
    return settings


SCHEDULES = {
    f'{kind}{suffix}': _settings(kind, suffix)
    for kind, suffixes in SUFFIXES.items() for suffix in suffixes
}
SCHEDULES['PolyLRRatio'] = dict(
    type='mmseg.PolyLRRatio', eta_min_ratio=0.1, end=12, by_epoch=False)
