"""LARS and LAMB are those of the papers, whatever their library changes."""
import importlib

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import OPTIMIZERS
from torch import nn

import agvm_mm.optimizers
from tests.stack import lars
from tests.toy import ToyDetector


def step_twice(optimizer):
    """A layer's weight and bias, and their gradients, before each step."""
    torch.manual_seed(0)
    layer = nn.Linear(4, 3).double()
    wrapper = build_optim_wrapper(layer, dict(optimizer=optimizer))
    steps = []
    for _ in range(2):
        for p in layer.parameters():
            p.grad = torch.randn_like(p)
        steps.append([(p.detach().clone(), p.grad.clone())
                      for p in layer.parameters()])
        wrapper.step()
    return steps, [p.detach() for p in layer.parameters()]


@lars
def test_lars():
    lr, momentum, decay, trust = 0.5, 0.9, 0.01, 0.02
    steps, after = step_twice(
        dict(
            type='LARS',
            lr=lr,
            momentum=momentum,
            weight_decay=decay,
            trust_coefficient=trust))
    weight, bias = steps[0][0][0], steps[0][1][0]
    weight_velocity, bias_velocity = 0, 0
    for (_, weight_grad), (_, bias_grad) in steps:
        # beta |w| in the denominator, You et al. (2017), formula 6.
        rate = trust * weight.norm() / (
            weight_grad.norm() + decay * weight.norm())
        weight_velocity = momentum * weight_velocity + rate * (
            weight_grad + decay * weight)
        bias_velocity = momentum * bias_velocity + bias_grad
        weight = weight - lr * weight_velocity
        bias = bias - lr * bias_velocity
    torch.testing.assert_close(after, [weight, bias])


def test_lamb():
    lr, betas, decay, eps = 0.1, (0.9, 0.99), 0.1, 1e-6
    steps, after = step_twice(
        dict(
            type='LAMB',
            lr=lr,
            betas=betas,
            weight_decay=decay,
            # As in configs/_base_/optimizers/lamb.py.
            weight_decouple=False,
            adam_debias=True))
    expected = []
    for index in range(2):
        param, m, v = steps[0][index][0], 0, 0
        for step in steps:
            grad = step[index][1]
            m = betas[0] * m + (1 - betas[0]) * grad
            v = betas[1] * v + (1 - betas[1]) * grad**2
            # The decay is inside of the trust ratio, You et al. (2020).
            update = m / (v.sqrt() + eps) + decay * param
            param = param - lr * param.norm() / (update.norm() + eps) * update
        expected.append(param)
    torch.testing.assert_close(after, expected)


def test_lars_says_which_torch_it_needs(monkeypatch):
    """As on torch 2.0, whose lack of one function stands for it."""
    monkeypatch.delattr(torch, '_foreach_copy_', raising=False)
    with pytest.MonkeyPatch.context() as registry:
        for name in ('LARS', 'LAMB'):
            registry.delitem(OPTIMIZERS.module_dict, name)
        importlib.reload(agvm_mm.optimizers)
        with pytest.raises(ValueError, match=r'needs torch 2\.1 or newer'):
            build_optim_wrapper(
                ToyDetector(),
                dict(
                    type='AGVMOptimWrapper',
                    constructor='AGVMOptimWrapperConstructor',
                    optimizer=dict(type='LARS', lr=0.1),
                    agvm=dict(begin=0)))
