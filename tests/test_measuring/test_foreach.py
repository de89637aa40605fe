"""None of torch's functions for many tensors is public: one may be missing."""
import pytest
import torch

from agvm_mm.measuring.foreach import (
    foreach_add_,
    foreach_div,
    foreach_norm,
    foreach_sqrt,
)
from tests.toy import ToyDetector, build_wrapper, train

NAMES = ('norm', 'sqrt', 'div', 'add_')


def results():
    generator = torch.Generator().manual_seed(0)
    tensors, others = ([
        torch.rand(2, i, generator=generator) for i in (1, 3, 5)
    ] for _ in range(2))
    found = [*foreach_norm(tensors), *foreach_sqrt(tensors),
             *foreach_div(tensors, others)]
    foreach_add_(tensors, others)
    foreach_add_(tensors, [0.5, 1.5, 2.5])
    return [*found, *tensors]


@pytest.mark.parametrize('name', NAMES)
def test_one_that_is_missing(name, monkeypatch):
    expected = results()
    monkeypatch.delattr(torch, f'_foreach_{name}')
    torch.testing.assert_close(results(), expected)


@pytest.mark.parametrize('estimator', ['replica', 'half_batch'])
@pytest.mark.parametrize('optimizer', ['momentum', 'adamw'])
def test_all_that_are_missing(optimizer, estimator, monkeypatch):
    scales = []
    for missing in (False, True):
        model = ToyDetector().double()
        wrapper = build_wrapper(model, optimizer, 2, estimator=estimator)
        # The optimizer's own step wants them too.
        for group in wrapper.optimizer.param_groups:
            group['foreach'] = False
        wrapper.initialize_count_status(model, 0, 40)
        if missing:
            for name in NAMES:
                monkeypatch.delattr(torch, f'_foreach_{name}')
        train(model, wrapper, 2, range(20))
        scales.append(wrapper.state_dict()['agvm']['lr_scale'])
    assert scales[0] == pytest.approx(scales[1], rel=1e-12)
    assert scales[0]['neck'] != 1
