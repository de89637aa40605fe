"""No update leaves anything behind, measured or not."""
import pytest
import torch

from tests.amp import amp_wrapper
from tests.toy import ToyDetector, build_wrapper, train

from .memory import held


def assert_flat(model, wrapper, device):
    train(model, wrapper, 2, range(6), dtype=torch.float32)
    wrapper.zero_grad()
    before = held(device)
    train(model, wrapper, 2, range(6, 26), dtype=torch.float32)
    wrapper.zero_grad()
    assert held(device) == before
    assert wrapper.modulator.lr_scale['neck'] != 1


@pytest.mark.parametrize('estimator', ['replica', 'half_batch'])
@pytest.mark.parametrize('optimizer', ['momentum', 'adamw'])
def test_memory_stays_flat(optimizer, estimator, device):
    model = ToyDetector().to(device)
    wrapper = build_wrapper(
        model, optimizer, 2, begin=1, interval=2, estimator=estimator)
    assert_flat(model, wrapper, device)


@pytest.mark.usefixtures('amp')
@pytest.mark.parametrize('estimator', ['replica', 'half_batch'])
def test_memory_stays_flat_with_a_loss_scale(estimator, device):
    model = ToyDetector().to(device)
    wrapper = amp_wrapper(
        model, optimizer='adamw', interval=2, estimator=estimator)
    assert_flat(model, wrapper, device)


def test_what_is_kept_is_seen(device):
    before = held(device)
    kept = [torch.ones(128, device=device)]
    assert held(device) == before + 512
    assert kept
