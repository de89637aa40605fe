"""Which optimizers a wrapper takes, and what it says of them."""
import inspect

import pytest
import torch
from mmengine.optim import OptimWrapperDict
from mmengine.registry import OPTIMIZERS
from torch.distributed.optim import ZeroRedundancyOptimizer

from agvm_mm import AGVMOptimWrapper
from agvm_mm.measuring.treatment import treatment_of
from tests.distributed import run_ranks
from tests.optimizers import MATRICES_ONLY, OPTIONS, installed
from tests.test_measuring.test_optimizer_table import BROKEN
from tests.toy import ToyDetector, build_wrapper, sums_of, train


def build(optimizer, model=None, micro_batches=2, **agvm):
    agvm = dict(dict(begin=1, interval=1), **agvm)
    return build_wrapper(model or ToyDetector(), optimizer, micro_batches,
                         **agvm)


def trains(cls):
    """Whether it trains any model, without more than its parameters."""
    return treatment_of(cls.__new__(cls)).kind != 'refused'


@pytest.mark.parametrize('name', [
    name for name, cls in installed().items()
    if trains(cls) and name not in (*BROKEN, *MATRICES_ONLY,
                                    'torch.SparseAdam')
    and not name.startswith('bitsandbytes.Optimizer')
    and 'BaseOptimizer' not in name])  # yapf: disable
def test_every_optimizer_that_is_not_refused_is_measured(name):
    cls = installed()[name]
    optimizer = dict(type=cls, **OPTIONS.get(name, {}))
    if 'lr' in inspect.signature(cls).parameters:
        optimizer['lr'] = 1e-3
    model = ToyDetector()
    wrapper = build(optimizer, model)
    wrapper.initialize_count_status(model, 0, 8)
    train(model, wrapper, 2, range(4), dtype=torch.float32)
    assert wrapper.modulation.skipped.count == 0
    assert wrapper.modulator.lr_scale['neck'] != 1


@pytest.mark.parametrize('type', ['DAdaptAdam', 'Prodigy', 'LBFGS', 'Rprop'])
@pytest.mark.parametrize('begin', [0, 'auto'])
def test_refused_before_training(type, begin):
    if type == 'Prodigy':
        type = pytest.importorskip('prodigyopt').Prodigy
    elif type not in OPTIMIZERS:
        pytest.skip(f'{type} is not installed')
    with pytest.raises(ValueError, match=r'AGVM cannot work with .*, because'):
        build(dict(type=type, lr=0.1), begin=begin)


def test_refused_where_the_wrapper_is_built_by_hand():
    model = ToyDetector()
    optimizer = torch.optim.Rprop(
        [dict(params=model.parameters(), module='backbone')])
    with pytest.raises(ValueError, match='AGVM cannot work with Rprop'):
        AGVMOptimWrapper(optimizer=optimizer, agvm=dict(begin=0))


def build_sharded(rank):
    model = ToyDetector()
    with pytest.raises(
            ValueError,
            match='ZeroRedundancyOptimizer, because it shards its state'):
        build(
            dict(
                type='ZeroRedundancyOptimizer',
                optimizer_type='AdamW',
                lr=0.1), model)
    optimizer = ZeroRedundancyOptimizer(
        [dict(params=list(model.parameters()), module='backbone')],
        torch.optim.AdamW,
        lr=0.1)
    with pytest.raises(ValueError, match='it shards its state'):
        AGVMOptimWrapper(optimizer=optimizer, agvm=dict(begin=0))


def test_sharded_state_is_refused():
    run_ranks(build_sharded, 2)


class Own(torch.optim.Optimizer):

    def __init__(self, params, lr):
        super().__init__(params, dict(lr=lr, betas=(0.9, 0.99), eps=(1, 2)))

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group['params']:
                self.state[p]['exp_avg_sq'] = None
                p.data.add_(p.grad, alpha=-group['lr'])


def test_an_unknown_one_is_measured_by_its_gradient_with_one_warning(warnings):
    found = []
    for optimizer in (dict(type=Own, lr=0.01), dict(type='SGD', lr=0.01)):
        model = ToyDetector().double()
        wrapper = build(optimizer, model)
        wrapper.initialize_count_status(model, 0, 12)
        train(model, wrapper, 2, range(6))
        found.append(wrapper.state_dict()['agvm']['lr_scale'])
    assert found[0] == pytest.approx(found[1], rel=1e-12)
    told = [w for w in warnings() if 'raw gradient' in w]
    assert len(told) == 1
    assert 'AGVM measures Own by its raw gradient' in told[0]


def test_known_ones_are_not_warned_of(warnings):
    for type in ('SGD', 'AdamW', 'RMSprop'):
        build(dict(type=type, lr=0.1))
    assert not warnings()


def test_a_state_of_other_names_leaves_a_module_unmeasured(warnings):
    """As an optimizer of the table in another version may have it."""
    model = ToyDetector().double()
    wrapper = build(dict(type=Renamed, lr=0.01), model)
    wrapper.initialize_count_status(model, 0, 28)
    train(model, wrapper, 2, range(14))
    assert wrapper.modulation.skipped.count == 13
    assert any('holds no second moments by the names' in w for w in warnings())


class Renamed(torch.optim.AdamW):

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group['params']:
                self.state[p]['v'] = torch.ones_like(p)


def test_a_child_of_several_is_refused_too():
    with pytest.raises(ValueError, match='AGVM cannot work with ASGD'):
        OptimWrapperDict(
            good=build(dict(type='SGD', lr=0.1)),
            bad=build(dict(type='ASGD', lr=0.1)))


def test_decay_of_adamw_is_scaled_with_the_rate():
    """As in the official code."""
    model = ToyDetector().double()
    wrapper = build(
        dict(type='AdamW', lr=0.1, weight_decay=0.5), model, begin=0)
    wrapper.initialize_count_status(model, 0, 8)
    wrapper.modulator.lr_scale['neck'] = 2.0
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    wrapper.clock.interval = 100
    wrapper.clock.updates = 1
    wrapper.step()
    for name, p in model.named_parameters():
        factor = 2 if name.startswith('neck') else 1
        torch.testing.assert_close(p, before[name] * (1 - factor * 0.1 * 0.5))


@pytest.mark.parametrize(('factor', 'variance'), [(0.1, 2), (10, 0)])
def test_hooks_that_change_accumulated_gradients_spoil_phi(factor, variance):
    """As docs/optimizers.md says: AGVM sees what autograd has found."""
    model = ToyDetector().double()
    wrapper = build(dict(type='SGD', lr=1e-3), model)
    wrapper.initialize_count_status(model, 0, 4)
    if not hasattr(torch.Tensor, 'register_post_accumulate_grad_hook'):
        pytest.skip('torch 2.0 has no such hook')

    def change(parameter):
        parameter.grad *= factor

    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(change)
    sums = sums_of(wrapper, lambda: train(model, wrapper, 2, range(2)))
    assert sums[0].variance.tolist() == pytest.approx([variance] * 5, abs=0.1)
