"""Which optimizer follows which rule, and what becomes of its settings."""
import math

import pytest
import torch

import agvm_mm.large_batch  # noqa: F401
from agvm_mm.large_batch.optimizer_rules import (
    FAMILIES,
    RULES,
    family_of,
    rule_of,
    scale_optimizer,
    stated_lr,
)
from agvm_mm.large_batch.rules import AdamRule, LinearRule, SquareRootRule
from agvm_mm.measuring.optimizer_table import TABLE

ROOT_2 = math.sqrt(2)


def scaled(rule=None, batch=64, total=128, **optimizer):
    kind, _ = rule_of(optimizer, rule)
    remarks = scale_optimizer(optimizer, kind(batch, total), {})
    return optimizer, remarks


@pytest.mark.parametrize(('name', 'rule'), [
    ('SGD', LinearRule),
    ('Adam', AdamRule),
    ('AdamW', AdamRule),
    ('torch.optim.RMSprop', AdamRule),
    (torch.optim.AdamW, AdamRule),
    ('LAMB', SquareRootRule),
    ('LARS', SquareRootRule),
])
def test_the_rule_of_an_optimizer(name, rule):
    found, why = rule_of(dict(type=name), None)
    assert found is rule
    assert why.startswith('the default of ')
    for asked, kind in RULES.items():
        assert rule_of(dict(type=name), asked) == (kind, 'as asked for')


def test_no_optimizer_is_of_two_families():
    names = ' '.join(family.names for family in FAMILIES).split()
    assert sorted(set(names)) == sorted(names)
    # They are optimizers that AGVM knows too.
    known = ' '.join(
        name for package in TABLE.values() for name in package.values())
    assert set(names) <= set(known.split())


def test_what_no_rule_is_known_of():
    assert family_of('Adagrad') is None
    with pytest.raises(
            ValueError, match=r"type='Adagrad': it is not known how .* the "
            "rule that you trust, one of 'linear', 'square-root', 'adam'"):
        rule_of(dict(type='Adagrad'), None)
    with pytest.raises(ValueError, match="rule='cubic' is unknown"):
        rule_of(dict(type='SGD'), 'cubic')
    with pytest.raises(ValueError, match='moves betas, and SGD has none'):
        scaled('adam', type='SGD', lr=0.1)
    optimizer, remarks = scaled(
        'linear', type='Adagrad', lr=0.1, weight_decay=0.1)
    assert optimizer == dict(type='Adagrad', lr=0.2, weight_decay=0.1)
    assert 'weight_decay=0.1 is as it was' in remarks[0]


def test_sgd():
    optimizer = dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4)
    assert scaled(**optimizer) == (dict(optimizer, lr=0.2), [])
    assert scaled('square-root', **optimizer) == (dict(
        optimizer, lr=rounded(0.1 * ROOT_2),
        weight_decay=rounded(1e-4 * ROOT_2)), [])


def rounded(value):
    return pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize('name', ['Adam', 'AdamW'])
def test_adam_and_its_defaults(name):
    """Only a decoupled decay has to follow; the other is in the gradient."""
    optimizer, remarks = scaled(type=name, weight_decay=0.05, lr=1e-3)
    factor = ROOT_2 if name == 'AdamW' else 1
    assert optimizer == dict(
        type=name,
        lr=rounded(1e-3 * ROOT_2),
        betas=(0.8, 0.998),
        eps=rounded(1e-8 / ROOT_2),
        weight_decay=rounded(0.05 * factor))
    assert remarks == []
    optimizer, remarks = scaled(total=64 * 8, type=name, lr=1e-3)
    assert optimizer['betas'] == (0.2, 0.992)
    far, measured = remarks
    assert 'betas 0.9 became 0.2' in far
    assert "a higher loss by this rule than by 'square-root'" in measured
    assert scaled(total=64 * 4, type=name, lr=1e-3)[1] == [measured]
    with pytest.raises(ValueError, match=r'turn beta=0\.9 into'):
        scaled(total=640, type=name, lr=1e-3)


def test_settings_that_say_of_which_kind_a_decay_is():
    optimizer = dict(type='Adam', lr=1e-3, weight_decay=0.1)
    for decoupled in (False, True):
        found, _ = scaled(**optimizer, decoupled_weight_decay=decoupled)
        assert (found['weight_decay'] > 0.1) is decoupled
    lamb = dict(type='LAMB', lr=1e-3, weight_decay=0.1)
    assert scaled(**lamb, weight_decouple=False)[0]['weight_decay'] == 0.1
    assert scaled(**lamb, weight_decouple=True)[0]['weight_decay'] > 0.14


def test_rmsprop():
    optimizer, _ = scaled(type='RMSprop', lr=0.01)
    assert optimizer == dict(
        type='RMSprop',
        lr=rounded(0.01 * ROOT_2),
        alpha=0.98,
        eps=rounded(1e-8 / ROOT_2))


def test_an_optimizer_without_any_rate():
    assert stated_lr(dict(type='AdamW'), {}) == 1e-3
    with pytest.raises(ValueError, match='lr is not set, and Gone'):
        stated_lr(dict(type='Gone'), {})


@pytest.mark.parametrize('lr', ['1e-4', -1, float('nan')])
def test_a_rate_that_is_no_number(lr):
    """As YAML reads 1e-4: a string."""
    with pytest.raises(ValueError, match=rf'optimizer\.lr={lr!r} must be a n'):
        stated_lr(dict(type='SGD', lr=lr), {})
