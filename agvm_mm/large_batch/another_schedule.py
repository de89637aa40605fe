"""The schedulers of a config, at another total batch."""
from __future__ import annotations

from typing import Any

from mmengine.config import Config
from mmengine.optim.scheduler.param_scheduler import INF

from .optimizer_rules import short
from .rules import CountRule, RateRule
from .settings import check_number, schedulers_of, type_name

# What MMEngine's and MMDetection's schedulers end in, after what they do.
SUFFIXES = ('LR', 'Momentum', 'ParamScheduler')
# What they count steps by, beside begin and end.
STEPS: dict[str, tuple[str, ...]] = {
    'Constant': (),
    'CosineAnnealing': ('T_max', ),
    'CosineRestart': ('periods', ),
    'Exponential': (),
    'Linear': (),
    'MultiStep': ('milestones', ),
    'OneCycle': ('total_steps', ),
    'Poly': (),
    'QuadraticWarmup': (),
    'Step': ('step_size', ),
    # It counts validations.
    'ReduceOnPlateau': (),
}
# Learning rates of their own, which are no factors.
RATES = ('eta_min', 'eta_max', 'min_value')


def scale_schedulers(cfg: Config, name: str | None,
                     rule: RateRule) -> list[str]:
    """Let schedulers do the same, image by image, at another total batch.

    What they count in epochs stays. What they count in updates is divided by
    k, and a learning rate that they state follows the rule.

    Args:
        cfg (Config): It is changed.
        name (str, optional): Of the optimizer wrapper, where schedulers are
            stated by name; None for those of all.
        rule (RateRule): Of the learning rate.

    Returns:
        list[str]: What a user should know of it, in sentences.

    Raises:
        ValueError: If one moves what the rule has moved already.
    """
    counts = CountRule(rule.batch, rule.total_batch_size)
    remarks = []
    for where, scheduler in schedulers_of(cfg, name):
        kind = type_name(scheduler)
        suffix = next((s for s in SUFFIXES if kind.endswith(s)), '')
        stem = kind[:len(kind) - len(suffix)]
        if suffix == 'Momentum' and rule.beta(1 - 1e-6) != 1 - 1e-6:
            raise ValueError(
                f'{where}.type={kind!r} moves the momentum, which the rule '
                f'{rule.name!r} moves too: leave it out, or take another rule')
        if stem not in STEPS:
            remarks.append(
                f'{where} ({kind}) is of a kind that is not known: of it only '
                'begin and end were changed')
        general = suffix == 'ParamScheduler'
        of_what = scheduler.get('param_name', 'lr')
        if (suffix == 'LR' or stem not in STEPS
                or (general and of_what == 'lr')):
            _scale_rates(where, scheduler, rule)
        elif general and any(scheduler.get(key) for key in RATES):
            remarks.append(
                f'{where} ({kind}) states values of {of_what!r}, which are '
                'as they were')
        if not scheduler.get('by_epoch', True):
            _check_steps(where, scheduler, stem)
            before = scheduler.get('end')
            _scale_steps(scheduler, stem, counts)
            after = scheduler.get('end')
            if _warms_up(scheduler, stem) and (after or 0) < (before or 0):
                remarks.append(
                    f'{where}: the warm-up of {before} updates became one of '
                    f'{after}, as long in images. What is unsafe at a large '
                    'batch is the first updates: docs/choosing.md takes two '
                    'epochs above 128')
    return remarks


def _warms_up(scheduler: dict, stem: str) -> bool:
    rises = scheduler.get('start_factor', 1 / 3) < scheduler.get(
        'end_factor', 1.0)
    return stem == 'QuadraticWarmup' or (stem == 'Linear' and rises)


def _scale_rates(where: str, scheduler: dict, rule: RateRule) -> None:
    for key in RATES:
        stated = scheduler.get(key)
        _check(f'{where}.{key}', stated)
        if isinstance(stated, (list, tuple)):
            scheduler[key] = [short(rule.lr(rate)) for rate in stated]
        elif stated:
            scheduler[key] = short(rule.lr(stated))


def _check_steps(where: str, scheduler: dict, stem: str) -> None:
    for key in ('begin', 'end', *STEPS.get(stem, ())):
        _check(f'{where}.{key}', scheduler.get(key))


def _check(field: str, stated: Any) -> None:
    several = stated if isinstance(stated, (list, tuple)) else [stated]
    for value in several:
        if value is not None:
            check_number(field, value)


def _scale_steps(scheduler: dict, stem: str, counts: CountRule) -> None:
    begin, end = scheduler.get('begin', 0), scheduler.get('end')
    keys = ('begin', *STEPS.get(stem, ()))
    if end is not None and end < INF:  # which is MMEngine's never
        keys = ('end', *keys)
    for key in keys:
        if scheduler.get(key) is not None:
            scheduler[key] = _scaled(scheduler[key], counts)
    if 'end' not in keys:
        if stem == 'Exponential':
            scheduler['gamma'] = short(scheduler['gamma']**counts.k)
        return
    if end - begin < 2:
        return
    # What rises in two steps and more rises in one at least, or it would stay
    # where it begins.
    first = scheduler.get('begin', 0)
    scheduler['end'] = max(scheduler['end'], first + 2)
    if stem == 'Exponential':
        # To the same value in fewer steps.
        power = (end - begin - 1) / (scheduler['end'] - first - 1)
        scheduler['gamma'] = short(scheduler['gamma']**power)


def _scaled(steps: Any, counts: CountRule) -> Any:
    if isinstance(steps, (list, tuple)):
        return type(steps)(counts.updates(step) for step in steps)
    return counts.updates(steps)
