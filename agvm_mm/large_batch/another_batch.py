"""A config at another total batch: what must follow it, follows.

Not what :func:`~agvm_mm.large_batch.resolve` does, which runs the same total
batch on other processes and leaves every update as it is.
"""
from __future__ import annotations

import copy
import os
import re

from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS

from . import known
from .another_agvm import scale_agvm
from .another_schedule import scale_schedulers
from .defaults import defaults_of
from .hook_counts import hooks_of, multiply
from .iterations import earlier_accumulation, rescale_loop
from .launch import refuse_split_by_hand
from .model_counts import rescale_model
from .optimizer_rules import rule_of, scale_optimizer, short
from .rules import EMARule
from .settings import (
    check_count,
    check_settings,
    optimizer_of,
    type_name,
    wrappers_of,
)
from .total_batch import check_lr_of_total

# Hooks that average weights.
AVERAGING = ('EMAHook', 'MeanTeacherHook', 'UpdateEMAHook')
# Runners of MMEngine, and those of them that keep a total batch.
OURS = dict(
    Runner='TotalBatchRunner', FlexibleRunner='TotalBatchFlexibleRunner')


def at_batch(cfg: Config,
             total_batch_size: int,
             rule: str | None = None) -> tuple[Config, list[str]]:
    """Take a config to another total batch, image by image the same.

    Changed are the optimizer, by its rule; weight decay and averages of the
    weights, so that they forget as much an image; and what counts updates
    (schedulers, loop, checkpoints, parts of models), so that it comes after
    as many images. What counts epochs stays, and so do the factors of
    ``paramwise_cfg``, ``clip_grad``, the momentum of SGD and the intervals of
    logs. AGVM's ``begin`` and ``clip_grad_range`` keep their distance to the
    warm-up's end, in updates.

    Args:
        cfg (Config): States ``total_batch_size``, or
            ``auto_scale_lr.base_batch_size``. It is not changed.
        total_batch_size (int): Samples of one update.
        rule (str, optional): 'linear', 'square-root' or 'adam'. Defaults to
            None, the rule of each optimizer.

    Returns:
        tuple[Config, list[str]]: The config, and what a user should know of
        it, in sentences.

    Raises:
        ValueError: If the present total batch is not known, or something
            cannot be taken to the other one. The message says what to do.
    """
    before = copy.deepcopy(cfg)
    batch = before.total_batch_size = stated_batch(cfg)
    check_settings(before)
    check_lr_of_total(before)
    if earlier_accumulation(before) != 1:
        raise ValueError(
            'the iterations of this config are those of '
            f'accumulative_counts={earlier_accumulation(before)}, as a run '
            'wrote it into its work dir: start from the config that it was '
            'made of')
    refuse_split_by_hand(before)
    after = copy.deepcopy(before)
    after.total_batch_size = total_batch_size
    remarks = _scale_optimizers(after, batch, rule)
    rescale_loop(after, batch, total_batch_size)
    rescale_model(after, batch, total_batch_size)
    _scale_hooks(after, batch)
    scale_agvm(after, before)
    return after, remarks


def stated_batch(cfg: Config | dict) -> int:
    """The total batch that a config's learning rate is of.

    Args:
        cfg (Config or dict): As a user wrote it.

    Raises:
        ValueError: If it states none, one that is no number of samples, or
            its name another one.
    """
    if cfg.get('total_batch_size') is not None:
        return cfg['total_batch_size']
    batch = (cfg.get('auto_scale_lr') or {}).get('base_batch_size')
    if batch is None:
        raise ValueError(
            'the total batch that lr is of is not known: set '
            'total_batch_size to the samples of one update that the config is '
            'written for, which are GPUs x samples of each')
    check_count('auto_scale_lr.base_batch_size', batch)
    # RTMDet's inherit that of another rate.
    name = os.path.basename(getattr(cfg, 'filename', None) or '')
    named = re.search(r'_(\d+)xb(\d+)', name)
    if named and int(named[1]) * int(named[2]) != batch:
        raise ValueError(
            f'auto_scale_lr.base_batch_size={batch}, but the name {name} says '
            f'{named[1]} GPUs x {named[2]} samples: set total_batch_size to '
            'the batch that lr is of')
    return batch


def _scale_optimizers(cfg: Config, batch: int,
                      rule: str | None) -> list[str]:
    """The optimizers and their schedulers, in place."""
    remarks, rules = [], {}
    for name, wrapper in wrappers_of(cfg).items():
        optimizer = optimizer_of(wrapper)
        kind, why = rule_of(optimizer, rule)
        rules[name] = kind(batch, cfg.total_batch_size)
        where = f'optim_wrapper.{name}' if name else 'optim_wrapper'
        remarks.append(f'{where}.optimizer: the rule {kind.name!r} '
                       f'({kind.source}), {why}')
        remarks += scale_optimizer(optimizer, rules[name], cfg)
    stated = cfg.get('param_scheduler') or []
    if not isinstance(stated, dict) or 'type' in stated:
        if stated and len(set(map(type, rules.values()))) > 1:
            raise ValueError(
                'param_scheduler is one for all optimizers, which follow '
                'different rules here: state it by their names, or name one '
                'rule for all')
        rules = {None: next(iter(rules.values()))}
    for name, of_rate in rules.items():
        remarks += scale_schedulers(cfg, name, of_rate)
    return [f'{remark}.' for remark in remarks]


def _scale_hooks(cfg: Config, batch: int) -> None:
    """The hooks that average, and those that save, in place."""
    total = cfg.total_batch_size
    averages = EMARule(batch, total)
    for _, hook in hooks_of(cfg):
        name = type_name(hook)
        if not isinstance(hook, dict):
            continue
        if name in known.BY_EPOCH and not hook.get('by_epoch', True):
            for key, default in known.HOOK_COUNTS[name].items():
                multiply(hook, key, batch, total, default)
        if name not in AVERAGING:
            continue
        multiply(hook, 'begin_iter', batch, total)
        stated = {**_defaults(hook, cfg), **hook}
        if stated.get('momentum'):
            hook['momentum'] = short(averages.momentum(stated['momentum']))
        # Its time constant. That of MomentumAnnealingEMA stays: its weight is
        # gamma / (gamma + steps), which follows the steps by itself.
        if _average_of(hook) == 'ExpMomentumEMA':
            multiply(hook, 'gamma', batch, total, stated.get('gamma'))


def _average_of(hook: dict) -> str:
    return type_name(dict(type=hook.get('ema_type', '')))


def _defaults(hook: dict, cfg: Config) -> dict:
    """What a hook averages with, where it does not say so."""
    if type_name(hook) == 'MeanTeacherHook':
        return dict(momentum=0.001)
    average = hook.get('ema_type') or 'ExponentialMovingAverage'
    return defaults_of(average, MODELS, cfg)


def with_runner(cfg: Config) -> Config:
    """Let a config that is MMEngine's alone keep its total batch.

    Args:
        cfg (Config): Of a run. It is changed where its runner is MMEngine's.

    Returns:
        Config: The same.
    """
    kind = type_name(dict(type=cfg.get('runner_type') or 'Runner'))
    if kind not in OURS:  # Ours already, or one of the user's own.
        return cfg
    cfg.runner_type = OURS[kind]
    stated = cfg.get('custom_imports') or ConfigDict(
        imports=[], allow_failed_imports=False)
    imports = stated['imports']
    imports = [imports] if isinstance(imports, str) else list(imports)
    if not any(name.split('.')[0] == 'agvm_mm' for name in imports):
        cfg.custom_imports = ConfigDict(
            stated, imports=[*imports, 'agvm_mm'])
    return cfg
