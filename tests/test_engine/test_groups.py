"""Groups lose nothing, and know their modules whatever is loaded or added."""
import copy

import pytest
import torch
from mmengine.optim import DefaultOptimWrapperConstructor, build_optim_wrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIMIZERS
from torch import nn

from tests.stack import LEAVES_OUT, frozen_left_out
from tests.toy import (
    OPTIMIZERS as TOY_OPTIMIZERS,
)
from tests.toy import (
    UPDATES,
    ToyDetector,
    before_each_step,
    build_wrapper,
    samples,
    train,
    train_from_scratch,
    weights,
)


def labels(wrapper):
    return [group['module'] for group in wrapper.optimizer.param_groups]


@pytest.mark.parametrize(('before', 'after'), [
    ({}, dict(neck='neck')),
    ({}, dict(fpn='neck')),
    (dict(fpn='neck'), None),
    (dict(fpn='neck', heads=['rpn_head', 'roi_head']), dict(head='rpn_head')),
],
                         ids=['same', 'renamed', 'named back', 'regrouped'])
def test_labels_are_the_runs_own_after_a_resume(before, after, warnings):
    model, wrapper = train_from_scratch(range(9), modules=before or None)
    saved = copy.deepcopy(wrapper.state_dict())
    assert not any('module' in g or 'param_names' in g
                   for g in saved['param_groups'])
    model = copy.deepcopy(model)
    other = build_wrapper(model, accumulative_counts=2, modules=after)
    expected = labels(other)
    other.load_state_dict(saved)
    assert labels(other) == expected
    assert other.clock.updates == 9
    other.initialize_count_status(model, 18, 2 * UPDATES)
    train(model, other, 2, range(9, 20))
    assert set(other.modulator.lr_scale) == set(expected)
    if before != after and after != dict(neck='neck'):
        assert any('other AGVM modules' in message for message in warnings())


@OPTIMIZERS.register_module()
class ReadsItsGroups(torch.optim.SGD):
    """As mmpretrain's LARS, which reads ``lars_exclude`` at each step."""

    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group['params']:
                if parameter.grad is not None:
                    parameter.grad.mul_(0.5 if group['exclude'] else 1.0)
                    parameter.grad.mul_(group['table']['factor'])
        return super().step(closure)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LeavesKeys(DefaultOptimWrapperConstructor):
    """Leaves keys of its own in the groups, of any type."""

    def add_params(self, params, module, prefix='', is_dcn_module=None):
        tables = [dict(factor=1.0), dict(factor=0.9)]
        for name, parameter in module.named_parameters():
            params.append(
                dict(
                    params=[parameter],
                    exclude=parameter.ndim == 1,
                    table=tables['neck' in name],
                    tensor=torch.tensor([1.0, float('neck' in name)]),
                    names=[name],
                    param_names=[name]))


def build_with_keys(type_):
    TOY_OPTIMIZERS['keys'] = dict(type='ReadsItsGroups', lr=0.01)
    try:
        model = ToyDetector().double()
        if type_ == 'OptimWrapper':
            return model, build_optim_wrapper(
                model,
                dict(
                    optimizer=dict(TOY_OPTIMIZERS['keys']),
                    accumulative_counts=2,
                    constructor='LeavesKeys',
                    paramwise_cfg=dict(any=1)))
        return model, build_wrapper(
            model,
            'keys',
            2,
            paramwise_cfg=dict(any=1),
            base_constructor='LeavesKeys',
            begin=10**9)
    finally:
        del TOY_OPTIMIZERS['keys']


def test_every_key_of_the_users_constructor_stays_with_its_parameter():
    trained = []
    for type_ in ('AGVMOptimWrapper', 'OptimWrapper'):
        model, wrapper = build_with_keys(type_)
        name_of = {p: n for n, p in model.named_parameters()}
        of_parameter = {
            name_of[p]: {
                k: v
                for k, v in group.items()
                if k not in ('params', 'module', 'tensor')
            }
            for group in wrapper.optimizer.param_groups
            for p in group['params']
        }
        tensors = {
            name_of[p]: group['tensor'].tolist()
            for group in wrapper.optimizer.param_groups
            for p in group['params']
        }
        train(model, wrapper, 2, range(10))
        trained.append((of_parameter, tensors, weights(model)))
    assert trained[0][:2] == trained[1][:2]
    assert torch.equal(trained[0][2], trained[1][2])


def test_parameters_that_differ_in_one_key_share_no_group():
    model, wrapper = build_with_keys('AGVMOptimWrapper')
    # 'names' differs from one parameter to the next.
    assert len(wrapper.optimizer.param_groups) == len(
        list(model.parameters()))


def unfreeze(type_, paramwise_cfg):
    model = ToyDetector().double()
    model.backbone[0].requires_grad_(False)
    model.neck.requires_grad_(False)
    wrapper = build_wrapper(
        model,
        accumulative_counts=2,
        type=type_,
        paramwise_cfg=paramwise_cfg,
        **(dict(begin=10**9) if type_.startswith('AGVM') else {}))
    train(model, wrapper, 2, range(5))
    model.requires_grad_(True)
    train(model, wrapper, 2, range(5, 10))
    return model


@pytest.mark.parametrize(
    'paramwise_cfg',
    [None, dict(custom_keys=dict(neck=dict(lr_mult=0.5)))],
    ids=['kept', 'left out'])
def test_unfreezing_is_what_it_is_under_mmengine(paramwise_cfg):
    ours = unfreeze('AGVMOptimWrapper', paramwise_cfg)
    plain = unfreeze('OptimWrapper', paramwise_cfg)
    assert torch.equal(weights(ours), weights(plain))
    initial = ToyDetector().double()
    moved = not torch.equal(ours.neck.weight, initial.neck.weight)
    assert moved == (paramwise_cfg is None or not LEAVES_OUT)


@frozen_left_out
def test_what_is_left_out_is_told(infos):
    unfreeze('AGVMOptimWrapper', dict(custom_keys={}))
    assert sum('4 frozen parameters (backbone.0.weight, ...) are not in the '
               'optimizer' in message for message in infos()) == 1
    before = len(infos())
    unfreeze('AGVMOptimWrapper', None)
    assert not any('frozen' in message for message in infos()[before:])


def test_an_unfrozen_part_of_a_module_is_measured_with_it():
    model = ToyDetector().double()
    model.backbone[0].requires_grad_(False)
    wrapper = build_wrapper(model, accumulative_counts=2, begin=0, interval=1)
    measured = len(wrapper.replicas.parameters())
    model.requires_grad_(True)
    assert len(wrapper.replicas.parameters()) == measured + 2


class Unfreezes(ToyDetector):
    """Has a prompt that nobody trains at first, and one that comes later."""

    def __init__(self):
        super().__init__()
        self.backbone.prompt = nn.Parameter(
            torch.zeros(16), requires_grad=False)
        self.double()

    def forward(self, inputs, data_samples=None, mode='tensor'):
        out = super().forward(inputs)
        out = out + self.backbone.prompt.sum()
        if hasattr(self.neck, 'adapter'):
            out = out + self.neck.adapter.sum()
        if mode == 'loss':
            return dict(loss=(out - data_samples).square().sum(1).mean())
        return out


def start_with_prompt(**options):
    model = Unfreezes()
    wrapper = build_wrapper(
        model,
        'sgd',
        2,
        paramwise_cfg=dict(custom_keys=dict(neck=dict(lr_mult=0.5))),
        begin=0,
        interval=1,
        **options)
    train(model, wrapper, 2, range(3))
    return model, wrapper


@frozen_left_out
def test_an_added_group_finds_its_module_by_its_names(warnings):
    model, wrapper = start_with_prompt()
    # A parameter that was frozen, and one that was not there.
    model.backbone.prompt.requires_grad_(True)
    wrapper.optimizer.add_param_group(dict(params=[model.backbone.prompt]))
    model.neck.adapter = nn.Parameter(torch.zeros(8, dtype=torch.float64))
    wrapper.optimizer.add_param_group(dict(params=[model.neck.adapter]))
    train(model, wrapper, 2, range(3, 6))
    assert labels(wrapper)[-2:] == ['backbone', 'neck']
    assert not any('none of the modules' in m for m in warnings())
    assert model.backbone.prompt.abs().sum() > 0
    assert {p.name for p in wrapper.replicas.parameters()} >= {
        'backbone.prompt', 'neck.adapter'
    }
    # The run so saved is resumed by one that has added them too.
    saved = copy.deepcopy((model.state_dict(), wrapper.state_dict()))
    train(model, wrapper, 2, range(6, 9))
    other, again = start_with_prompt()
    other.backbone.prompt.requires_grad_(True)
    again.optimizer.add_param_group(dict(params=[other.backbone.prompt]))
    other.neck.adapter = nn.Parameter(torch.zeros(8, dtype=torch.float64))
    again.optimizer.add_param_group(dict(params=[other.neck.adapter]))
    other.load_state_dict(saved[0])
    again.load_state_dict(saved[1])
    train(other, again, 2, range(6, 9))
    assert torch.equal(weights(model), weights(other))
    assert labels(again)[-2:] == ['backbone', 'neck']


@pytest.mark.parametrize('kind', [
    'foreign', 'new module',
    pytest.param('mixed', marks=frozen_left_out)
])
def test_a_group_of_no_module_steps_at_factor_1_and_is_warned_of(
        kind, warnings):
    model, wrapper = start_with_prompt()
    if kind == 'foreign':
        added = [nn.Parameter(torch.ones(2, dtype=torch.float64))]
    elif kind == 'new module':
        model.prompt_head = nn.Linear(2, 2).double()
        added = list(model.prompt_head.parameters())
    else:
        model.backbone.prompt.requires_grad_(True)
        model.neck.adapter = nn.Parameter(torch.zeros(8).double())
        added = [model.backbone.prompt, model.neck.adapter]
    wrapper.optimizer.add_param_group(dict(params=added))
    before = added[0].detach().clone()
    seen = []
    before_each_step(
        wrapper.optimizer,
        lambda optimizer: seen.append(optimizer.param_groups[-1]['lr']))
    train(model, wrapper, 2, range(3, 5))
    if kind != 'mixed':
        added[0].grad = torch.ones_like(added[0])
        train(model, wrapper, 2, range(5, 6))
        torch.testing.assert_close(before - added[0].detach(),
                                   torch.full_like(before, 0.01))
    assert set(seen) == {0.01}
    assert sum('belongs to none of the modules' in message
               for message in warnings()) == 1


@frozen_left_out
def test_a_group_is_found_without_a_forward_pass_that_is_told():
    model, wrapper = start_with_prompt()
    model.backbone.prompt.requires_grad_(True)
    wrapper.optimizer.add_param_group(dict(params=[model.backbone.prompt]))
    inputs, targets = samples(3)
    for _ in range(2):
        wrapper.update_params(model(inputs, targets, mode='loss')['loss'])
    assert labels(wrapper)[-1] == 'backbone'
    assert model.backbone.prompt.abs().sum() > 0


def test_rates_that_are_tensors_stay_apart():
    adam = dict(type='Adam', lr=torch.tensor(0.01, dtype=torch.float64))
    _, plain = train_from_scratch(
        range(3), optimizer=adam, type='OptimWrapper')
    model = ToyDetector().double()
    wrapper = build_wrapper(
        model, adam, accumulative_counts=2, begin=0, momentum=0.5)
    # One group's rate becomes that of five, and added groups share another.
    wrapper.load_state_dict(copy.deepcopy(plain.state_dict()))
    for head in (model.rpn_head, model.neck):
        head.added = nn.Parameter(torch.zeros(1, dtype=torch.float64))
        wrapper.optimizer.add_param_group(dict(params=[head.added]))
    stepped = []
    before_each_step(
        wrapper.optimizer, lambda optimizer: stepped.append(
            {g['module']: float(g['lr'])
             for g in optimizer.param_groups}))
    train(model, wrapper, 2, range(3))
    assert stepped[-1] == pytest.approx({
        module: 0.01 * mu
        for module, mu in wrapper.modulator.lr_scale.items()
    })
    assert all(float(g['lr']) == 0.01 for g in wrapper.optimizer.param_groups)
