import pytest
import torch

from agvm_mm.engine.layout import to_layout


def optimizer_of(groups):
    """An optimizer over parameters named as given, its momenta their names."""
    optimizer = torch.optim.SGD([
        dict(
            params=[torch.nn.Parameter(torch.zeros(1)) for _ in names],
            module=f'module {i}',
            lr=10.0 * (i + 1)) for i, names in enumerate(groups)
    ])
    for group, names in zip(optimizer.param_groups, groups):
        group['param_names'] = list(names)
        for parameter, name in zip(group['params'], names):
            optimizer.state[parameter]['name'] = ord(name)
    return optimizer


def names_of(optimizer):
    codes = [
        optimizer.state[p].get('name') for g in optimizer.param_groups
        for p in g['params']
    ]
    return [None if code is None else chr(code) for code in codes]


def plain(state_dict):
    for group in state_dict['param_groups']:
        del group['param_names']
    return state_dict


def test_same_layout_is_left_as_it_is():
    optimizer = optimizer_of(['ab', 'c'])
    state = optimizer.state_dict()
    assert to_layout(state, optimizer.param_groups, None) is state


@pytest.mark.parametrize('saved', [['abcd'], ['dcba'], ['c', 'a', 'd', 'b']])
@pytest.mark.parametrize('named', [True, False])
def test_state_goes_by_name(saved, named):
    old, new = optimizer_of(saved), optimizer_of(['ca', 'bd'])
    state = old.state_dict()
    if not named:
        state = plain(state)
    converted = to_layout(state, new.param_groups, [list(g) for g in saved])
    new.load_state_dict(converted)
    assert names_of(new) == list('cabd')
    assert [g['module'] for g in new.param_groups] == ['module 0', 'module 1']
    # A group's settings come from the saved group of its first parameter.
    lr_of = {n: 10.0 * (i + 1) for i, g in enumerate(saved) for n in g}
    assert [g['lr'] for g in new.param_groups] == [lr_of['c'], lr_of['b']]


def test_parameters_without_state_and_frozen_ones():
    old = optimizer_of(['abcd'])
    del old.state[old.param_groups[0]['params'][1]]
    new = optimizer_of(['c', 'ba'])
    new.load_state_dict(
        to_layout(plain(old.state_dict()), new.param_groups, [list('abcd')]))
    assert names_of(new) == ['c', None, 'a']


def test_other_keys_pass_through():
    old, new = optimizer_of(['ab']), optimizer_of(['b', 'a'])
    state = dict(old.state_dict(), loss_scaler=dict(scale=2.0))
    converted = to_layout(state, new.param_groups, None)
    assert converted['loss_scaler'] == dict(scale=2.0)


def test_other_parameters_are_refused():
    old, new = optimizer_of(['ab']), optimizer_of(['a', 'x'])
    with pytest.raises(ValueError, match="of 1 parameters, 'x' among them"):
        to_layout(old.state_dict(), new.param_groups, None)
    with pytest.raises(
            ValueError, match=r'groups have \[2\] parameters, where \[3\]'):
        to_layout(plain(old.state_dict()), new.param_groups, [list('abc')])
