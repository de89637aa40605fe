import pytest
import torch

from agvm_mm.compat import dropped
from agvm_mm.engine.layout import to_layout


def optimizer_of(groups, **rates):
    """An optimizer over parameters named as given, its momenta their names.

    The rate of a group is that of its first parameter.
    """
    optimizer = torch.optim.SGD([
        dict(
            params=[torch.nn.Parameter(torch.zeros(1)) for _ in names],
            lr=rates.get(names[0], 1.0)) for names in groups
    ])
    for group, names in zip(optimizer.param_groups, groups):
        for parameter, name in zip(group['params'], names):
            optimizer.state[parameter]['name'] = ord(name)
    return optimizer


def names_of(optimizer):
    codes = [
        optimizer.state[p].get('name') for g in optimizer.param_groups
        for p in g['params']
    ]
    return [None if code is None else chr(code) for code in codes]


def layout(groups):
    return [list(names) for names in groups]


@pytest.fixture(name='warnings')
def _warnings(monkeypatch):
    messages = []
    monkeypatch.setattr(dropped, 'print_log',
                        lambda message, **kwargs: messages.append(message))
    return messages


@pytest.mark.parametrize('ours', [None, layout(['ab', 'c'])])
@pytest.mark.parametrize('theirs', [None, layout(['ab', 'c'])])
def test_same_or_unknown_layouts_are_left_as_they_are(ours, theirs):
    state = optimizer_of(['ab', 'c']).state_dict()
    assert to_layout(state, ours, theirs) is state


@pytest.mark.parametrize(
    ('saved', 'rates'),
    [(['abcd'], dict(a=2.0)), (['dcba'], dict(d=2.0)),
     (['c', 'a', 'd', 'b'], dict(c=2.0, a=2.0, d=3.0, b=3.0))])
def test_state_goes_by_name(saved, rates, warnings):
    old, new = optimizer_of(saved, **rates), optimizer_of(['ca', 'bd'])
    converted = to_layout(old.state_dict(), layout(['ca', 'bd']),
                          layout(saved), new.param_groups)
    new.load_state_dict(converted)
    assert names_of(new) == list('cabd')
    assert [g['lr'] for g in new.param_groups] == [
        2.0, 3.0 if len(saved) > 1 else 2.0
    ]
    assert not warnings


@pytest.mark.parametrize('tensor', [False, True])
def test_settings_that_would_be_lost_are_refused(tensor):
    """Of a checkpoint, and of the run that goes on from it."""
    apart = optimizer_of(['a', 'b', 'c'], b=0.1)
    together = optimizer_of(['abc'])
    for group in (*apart.param_groups, *together.param_groups):
        group['module'] = str(id(group))  # which is no setting
        if tensor:
            group['lr'] = torch.tensor(group['lr'])
    with pytest.raises(
            ValueError,
            match=r"'a' and 'b' have another lr each in the checkpoint, and "
            'the same one in this run: leave optim_wrapper.paramwise_cfg'):
        to_layout(apart.state_dict(), layout(['abc']),
                  layout(['a', 'b', 'c']), together.param_groups)
    with pytest.raises(
            ValueError,
            match="'a' and 'b' have another lr each in this run, and the same"
    ):
        to_layout(together.state_dict(), layout(['a', 'b', 'c']),
                  layout(['abc']), apart.param_groups)


def test_parameters_without_state_and_frozen_ones(warnings):
    old = optimizer_of(['abcd'])
    del old.state[old.param_groups[0]['params'][1]]
    new = optimizer_of(['c', 'ba'])
    new.load_state_dict(
        to_layout(old.state_dict(), layout(['c', 'ba']), layout(['abcd'])))
    assert names_of(new) == ['c', None, 'a']
    warning, = warnings
    assert "state of 1 parameters, 'd' among them" in warning


def test_state_of_no_parameter_stays():
    """As pytorch-optimizer's SPAM counts its steps."""
    old, new = optimizer_of(['ab']), optimizer_of(['b', 'a'])
    old.state['total_step'] = 7
    new.load_state_dict(
        to_layout(old.state_dict(), layout(['b', 'a']), layout(['ab'])))
    assert new.state['total_step'] == 7
    assert names_of(new) == ['b', 'a']


def test_other_keys_pass_through():
    old = optimizer_of(['ab'])
    state = dict(old.state_dict(), loss_scaler=dict(scale=2.0))
    converted = to_layout(state, layout(['b', 'a']), layout(['ab']))
    assert converted['loss_scaler'] == dict(scale=2.0)


def test_other_parameters_are_refused():
    state = optimizer_of(['ab']).state_dict()
    with pytest.raises(ValueError, match="of 1 parameters, 'x' among them"):
        to_layout(state, layout(['a', 'x']), layout(['ab']))
    with pytest.raises(
            ValueError, match=r'groups have \[2\] parameters, where \[3\]'):
        to_layout(state, layout(['a', 'x']), layout(['abc']))
