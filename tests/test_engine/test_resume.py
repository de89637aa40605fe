"""A run that goes on from saved state, its own or that of another run."""
import copy

import pytest
import torch
from mmengine import registry
from mmengine.optim import (
    DefaultOptimWrapperConstructor,
    build_optim_wrapper,
)
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS

import agvm_mm.optimizers  # noqa: F401
from tests.stack import lars
from tests.toy import (
    OPTIMIZERS,
    UPDATES,
    ToyDetector,
    build_wrapper,
    train,
    train_from_scratch,
    weights,
)


def resumed(model, state_dict, first, log=None, **options):
    """Go on from a model and a saved state, as a new process would."""
    model = copy.deepcopy(model)
    wrapper = build_wrapper(model, accumulative_counts=2, **options)
    untouched = copy.deepcopy(state_dict)
    wrapper.load_state_dict(state_dict)
    assert state_dict.keys() == untouched.keys()
    wrapper.initialize_count_status(model, first * 2, UPDATES * 2)
    train(model, wrapper, 2, range(first, UPDATES))
    return model, wrapper


@pytest.mark.parametrize('optimizer', ['momentum', 'adamw'])
@pytest.mark.parametrize('estimator', ['replica', 'half_batch'])
@pytest.mark.parametrize('cut', [2, 7, 20])
def test_resume_gives_the_bits_of_the_uninterrupted_run(
        optimizer, estimator, cut):
    options = dict(optimizer=optimizer, estimator=estimator)
    whole, whole_wrapper = train_from_scratch(**options)
    model, wrapper = train_from_scratch(range(cut), **options)
    model, wrapper = resumed(model, copy.deepcopy(wrapper.state_dict()), cut,
                             **options)
    assert torch.equal(weights(model), weights(whole))
    assert (wrapper.state_dict()['agvm'] == whole_wrapper.state_dict()['agvm'])


@pytest.mark.parametrize('earlier', ['OptimWrapper', 'AGVMOptimWrapper'])
@pytest.mark.parametrize(('saved', 'ours', 'without'), [
    ('SGD', 'AdamW', 'betas, eps'),
    ('SGD', 'RMSprop', 'alpha, eps'),
    ('AdamW', 'SGD', 'momentum, dampening'),
    ('Adadelta', 'Adam', 'betas'),
    ('RMSprop', 'Adadelta', 'rho'),
    ('Adam', 'AdamW', None),  # with the same settings and state
])
def test_the_state_of_another_optimizer_is_refused(saved, ours, without,
                                                   earlier):
    model, wrapper = ToyDetector().double(), None
    for kind, name in ((earlier, saved), ('AGVMOptimWrapper', ours)):
        state = wrapper and wrapper.state_dict()
        wrapper = build_wrapper(model, dict(type=name, lr=0.01), 2, kind)
    if without is None:
        wrapper.load_state_dict(state)
        train(model, wrapper, 2, range(2))
        return
    with pytest.raises(
            ValueError, match=f'optimizer than {ours}: .* without {without}.'):
        wrapper.load_state_dict(state)


@pytest.mark.parametrize('loads', [1, 2])
@pytest.mark.parametrize('name', [
    'Lion',
    pytest.param('LARS', marks=lars),
    'LAMB',
])
def test_an_optimizer_of_another_library_goes_on(name, loads):
    """Its groups lack what torch adds to the defaults of one that loads."""
    options = dict(optimizer=dict(type=name, lr=1e-3))
    whole, _ = train_from_scratch(**options)
    model, wrapper = train_from_scratch(range(7), **options)
    state = copy.deepcopy(wrapper.state_dict())
    wrapper = build_wrapper(model, accumulative_counts=2, **options)
    for _ in range(loads):
        wrapper.load_state_dict(copy.deepcopy(state))
    wrapper.initialize_count_status(model, 14, UPDATES * 2)
    train(model, wrapper, 2, range(7, UPDATES))
    assert torch.equal(weights(model), weights(whole))


class NewerSGD(torch.optim.SGD):
    """A version that has a switch that the saved one had not."""

    def __init__(self, params, lr, switch=None):
        super().__init__(params, lr=lr)
        self.defaults['switch'] = switch
        for group in self.param_groups:
            group.setdefault('switch', switch)


def test_a_newer_version_of_a_library_has_another_switch(monkeypatch):
    monkeypatch.setitem(registry.OPTIMIZERS.module_dict, 'NewerSGD', NewerSGD)
    saved = build_wrapper(ToyDetector(), 'sgd', 2).state_dict()
    model = ToyDetector().double()
    wrapper = build_wrapper(model, dict(type='NewerSGD', lr=0.01), 2)
    wrapper.load_state_dict(saved)
    assert all(g['switch'] is None for g in wrapper.optimizer.param_groups)
    train(model, wrapper, 2, range(2))


def test_state_is_plain_and_by_name():
    _, wrapper = train_from_scratch(range(10))
    state = wrapper.state_dict()['agvm']
    assert state['lr_scale'] == wrapper.modulator.lr_scale
    assert set(state) == {
        'lr_scale', 'noise_scale', 'updates', 'begin', 'skipped', 'layout'
    }
    assert state['updates'] == 10
    for group in wrapper.state_dict()['param_groups']:
        assert 'module' not in group
    assert all(type(mu) is float for mu in state['lr_scale'].values())


@pytest.mark.parametrize(
    'paramwise_cfg',
    [None, dict(custom_keys={'neck': dict(lr_mult=0.1)})])
def test_resume_from_a_run_without_agvm(paramwise_cfg, warnings):
    options = dict(paramwise_cfg=paramwise_cfg)
    plain, wrapper = train_from_scratch(
        range(10), type='OptimWrapper', **options)
    for group in wrapper.param_groups:
        group['lr'] *= 0.5  # as a schedule may have left it
    saved = copy.deepcopy(wrapper.state_dict())
    other = build_wrapper(copy.deepcopy(plain), begin=10**9, **options)
    other.load_state_dict(copy.deepcopy(saved))
    assert other.get_lr()['base_lr'] == [0.0025]
    assert other.modulator.lr_scale['neck'] == 1
    assert any('no state of AGVM' in message for message in warnings())
    # The momentum of each parameter has found it: with AGVM still off, the
    # run goes on as without it, to the bit.
    ours, _ = resumed(plain, copy.deepcopy(saved), 10, begin=10**9, **options)
    expected = copy.deepcopy(plain)
    wrapper = build_wrapper(
        expected, accumulative_counts=2, type='OptimWrapper', **options)
    wrapper.load_state_dict(copy.deepcopy(saved))
    wrapper.initialize_count_status(expected, 20, UPDATES * 2)
    train(expected, wrapper, 2, range(10, UPDATES))
    assert torch.equal(weights(ours), weights(expected))


def test_resume_with_other_modules(warnings):
    model, wrapper = train_from_scratch(range(20))
    saved = copy.deepcopy(wrapper.state_dict())
    other = build_wrapper(
        copy.deepcopy(model),
        accumulative_counts=2,
        modules=dict(heads=['rpn_head', 'roi_head']))
    other.load_state_dict(copy.deepcopy(saved))
    assert other.modulator.lr_scale == dict(
        backbone=1, neck=saved['agvm']['lr_scale']['neck'], heads=1)
    assert any('heads' in message and 'rpn_head' in message
               for message in warnings())
    # Each parameter's momentum has gone with its name.
    names = dict(model.named_parameters())
    moved = {n: p for p, n in other.groups.names.items()}
    for name, parameter in names.items():
        assert torch.equal(
            wrapper.optimizer.state[parameter]['momentum_buffer'],
            other.optimizer.state[moved[name]]['momentum_buffer'])


def test_state_of_another_model_is_refused():
    _, wrapper = train_from_scratch(range(1))
    state = wrapper.state_dict()
    other = torch.nn.Module()
    other.backbone = torch.nn.Linear(2, 2)
    other = build_wrapper(other)
    with pytest.raises(
            ValueError,
            match=r'no optimizer state of 2 parameters, '
            r"'backbone.weight' among them\. .*load_from"):
        other.load_state_dict(state)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module(force=True)
class LayerDecay(DefaultOptimWrapperConstructor):
    """Groups as mmdet's LearningRateDecayOptimizerConstructor does."""

    def add_params(self, params, module, **kwargs):
        groups = {}
        for name, parameter in module.named_parameters():
            layer = name.split('.')[1] if name.startswith('backbone') else '9'
            group = groups.setdefault(
                layer,
                dict(
                    params=[],
                    param_names=[],
                    lr=self.base_lr * 0.9**int(layer == '9'),
                    group_name=layer))
            group['params'].append(parameter)
            group['param_names'].append(name)
        params.extend(groups.values())


@pytest.mark.parametrize('earlier', ['OptimWrapper', 'AGVMOptimWrapper'])
@pytest.mark.parametrize('modules', [None, dict(heads=['rpn_head',
                                                       'roi_head'])])
def test_groups_that_name_their_parameters(earlier, modules):
    """A name is the parameter's, and no setting of its group."""
    own = dict(
        optimizer='adamw',
        paramwise_cfg=dict(decay_rate=0.9),
        base_constructor='LayerDecay',
        begin=10**9)
    whole, _ = train_from_scratch(**own)
    model = ToyDetector().double()
    wrapper = build_wrapper(
        model, accumulative_counts=2,
        **own) if earlier == 'AGVMOptimWrapper' else build_optim_wrapper(
            model,
            dict(
                optimizer=dict(OPTIMIZERS['adamw']),
                accumulative_counts=2,
                constructor='LayerDecay',
                paramwise_cfg=dict(decay_rate=0.9)))
    wrapper.initialize_count_status(model, 0, UPDATES * 2)
    train(model, wrapper, 2, range(7))
    model, wrapper = resumed(
        model, wrapper.state_dict(), 7, modules=modules, **own)
    assert torch.equal(weights(model), weights(whole))
    name_of = {p: name for name, p in model.named_parameters()}
    for group in wrapper.optimizer.param_groups:
        names = [name_of[p] for p in group['params']]
        assert group['param_names'] == names
        assert {group['group_name']} == {
            name.split('.')[1] if name.startswith('backbone') else '9'
            for name in names
        }
