"""Which rule an optimizer follows to another total batch, and how."""
from __future__ import annotations

from typing import NamedTuple

from mmengine.config import Config
from mmengine.registry import OPTIMIZERS

from .defaults import defaults_of
from .rules import AdamRule, DecayRule, LinearRule, RateRule, SquareRootRule
from .settings import check_number, type_name

RULES: dict[str, type[RateRule]] = {
    rule.name: rule
    for rule in (LinearRule, SquareRootRule, AdamRule)
}

# From so many times the batch on, Adam's rule cost loss where it was measured.
COSTLY = 4


class Family(NamedTuple):
    """Optimizers that follow a rule by default.

    Attributes:
        rule (type): Theirs.
        decays_by_lr (bool): Whether an update shrinks the weights by lr *
            weight_decay. Otherwise the decay is a part of what the optimizer
            divides by its own size, and keeps its share at any batch.
        why (str): Half a sentence.
        names (str): Of the classes.
    """

    rule: type[RateRule]
    decays_by_lr: bool
    why: str
    names: str


FAMILIES = (
    Family(
        LinearRule, True, 'its updates are in proportion to the gradient; '
        "above batch 128 the bundled configs take 'square-root'",
        'SGD SGD8bit SGD32bit FusedSGD SGDW'),
    Family(
        AdamRule, True, 'it divides the gradient by its own size',
        'AdamW AdamW8bit AdamW32bit PagedAdamW PagedAdamW8bit PagedAdamW32bit '
        'FusedAdam'),
    Family(
        AdamRule, False, 'it divides the gradient by its own size',
        'Adam Adam8bit Adam32bit PagedAdam PagedAdam8bit PagedAdam32bit '
        'RMSprop RMSprop8bit RMSprop32bit'),
    Family(
        SquareRootRule, False,
        'its updates are of a size of their own, and You et al. scale them so',
        'LAMB Lamb LAMB8bit LAMB32bit FusedLAMB LARS LARS8bit LARS32bit '
        'PytorchLARS'),
)
# Settings that say of which kind the decay is, in classes that know both.
DECOUPLED = ('decoupled_weight_decay', 'weight_decouple', 'adam_w_mode')


def family_of(name: str) -> Family | None:
    """The family of an optimizer; None if it is not known.

    Args:
        name (str): Of its class.
    """
    return next((f for f in FAMILIES if name in f.names.split()), None)


def rule_of(optimizer: dict, rule: str | None) -> tuple[type[RateRule], str]:
    """The rule of an optimizer, and why it is that.

    Args:
        optimizer (dict): Its settings.
        rule (str, optional): Of ``RULES``. None is the optimizer's own.

    Returns:
        tuple[type, str]: The class, and half a sentence.

    Raises:
        ValueError: If there is no such rule, or none is known.
    """
    name = type_name(optimizer)
    family = family_of(name)
    known = ', '.join(repr(known) for known in RULES)
    if rule is None:
        if family is None:
            raise ValueError(
                f'optim_wrapper.optimizer.type={name!r}: it is not known how '
                'its learning rate follows the total batch; name the rule '
                f'that you trust, one of {known}')
        return family.rule, f'the default of {name}: {family.why}'
    if rule not in RULES:
        raise ValueError(f'rule={rule!r} is unknown: it must be one of '
                         f'{known}')
    return RULES[rule], 'as asked for'


def scale_optimizer(optimizer: dict, rule: RateRule,
                    cfg: Config | dict) -> list[str]:
    """Take the settings of an optimizer to another total batch.

    Args:
        optimizer (dict): Its settings. They are changed.
        rule (RateRule): For its learning rate.
        cfg (Config or dict): Of the run, for its ``default_scope``.

    Returns:
        list[str]: What a user should know of it, in sentences.

    Raises:
        ValueError: If it states no learning rate, or the rule does not fit.
    """
    name = type_name(optimizer)
    stated = {**defaults_of(optimizer['type'], OPTIMIZERS, cfg), **optimizer}
    lr = stated_lr(optimizer, cfg)
    remarks = []
    optimizer['lr'] = short(rule.lr(lr))
    if isinstance(rule, AdamRule):
        remarks += _scale_moments(optimizer, stated, rule, name)
    decay = stated.get('weight_decay')
    family = family_of(name)
    if not decay:
        return remarks
    if family is None:
        return [
            *remarks, f'weight_decay={decay} is as it was: whether the decay '
            f'of {name} is in proportion to lr is not known'
        ]
    check_number('optim_wrapper.optimizer.weight_decay', decay)
    by_lr = family.decays_by_lr
    if family.rule is not LinearRule:
        by_lr = next((stated[flag] for flag in DECOUPLED if flag in stated),
                     by_lr)
    if by_lr:
        decays = DecayRule(rule.batch, rule.total_batch_size)
        optimizer['weight_decay'] = short(
            # Of a rate of 1: every rule multiplies, and one may be 0.
            decays.weight_decay(decay, 1., rule.lr(1.)))
    return remarks


def stated_lr(optimizer: dict, cfg: Config | dict) -> float:
    """The stated learning rate, or the default of the optimizer's class.

    Args:
        optimizer (dict): Its settings.
        cfg (Config or dict): Of the run, for its ``default_scope``.

    Raises:
        ValueError: If there is neither, or it is no number from 0 on.
    """
    lr = optimizer.get('lr')
    if lr is None:
        lr = defaults_of(optimizer['type'], OPTIMIZERS, cfg).get('lr')
    else:
        check_number('optim_wrapper.optimizer.lr', lr)
    if not isinstance(lr, (int, float)):
        raise ValueError(
            'optim_wrapper.optimizer.lr is not set, and '
            f'{type_name(optimizer)} has no default of it: set the learning '
            'rate of the total batch')
    return lr


def _scale_moments(optimizer: dict, stated: dict, rule: AdamRule,
                   name: str) -> list[str]:
    """The betas and eps, in place; what is doubtful of them."""
    key = 'alpha' if name.startswith('RMSprop') else 'betas'
    if key not in stated:
        raise ValueError(
            f"rule='adam' moves betas, and {name} has none: take 'linear' or "
            "'square-root'")
    betas = [stated[key]] if key == 'alpha' else stated[key]
    for value in betas if isinstance(betas, (list, tuple)) else ('', ):
        if not isinstance(value, (int, float)) or not 0 <= value < 1:
            raise ValueError(
                f'optim_wrapper.optimizer.{key}={stated[key]!r}: each must be '
                'a number in [0, 1)')
    # The smallest first: it allows the least.
    scaled = {beta: short(rule.beta(beta)) for beta in sorted(betas)}
    moved = [scaled[beta] for beta in betas]
    optimizer[key] = moved[0] if key == 'alpha' else type(betas)(moved)
    if 'eps' in stated:
        check_number('optim_wrapper.optimizer.eps', stated['eps'])
        optimizer['eps'] = short(rule.eps(stated['eps']))
    remarks = [
        f'{key} {was} became {now}, and the rule is derived for values near 1:'
        ' little is promised of it so far'
        for was, now in scaled.items() if now < 0.5
    ]
    if rule.k >= COSTLY:
        remarks.append(
            'trainings with AdamW that went on at 4 and 8 times their batch '
            "ended at a higher loss by this rule than by 'square-root' "
            '(docs/study-branches.md): compare the two')
    return remarks


def short(value: float) -> float:
    """A number without what floating point adds, as in 0.6000000000000001.

    Args:
        value (float): Of a setting.
    """
    return float(f'{value:.10g}')
