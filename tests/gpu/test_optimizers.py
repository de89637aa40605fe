"""Steps in one kernel, and those that a CUDA graph may capture."""
import pytest
import torch

from tests.toy import (
    ToyDetector,
    build_wrapper,
    needs_optimizer,
    train,
    weights,
)

UPDATES = 12
EVERY = ('SGD', 'Adam', 'AdamW', 'NAdam', 'RMSprop', 'Adadelta', 'Adagrad')
FUSED = ('SGD', 'Adam', 'AdamW', 'Adagrad')
CAPTURABLE = ('Adam', 'AdamW', 'NAdam', 'RMSprop', 'Adadelta')
KINDS = {
    ('foreach', ): EVERY,
    ('fused', ): FUSED,
    ('fused', 'lr in a tensor'): FUSED,
    ('capturable', ): CAPTURABLE,
    ('capturable', 'lr in a tensor'): CAPTURABLE,
}


def train_with(options, device):
    model = ToyDetector().double().to(device)
    wrapper = build_wrapper(model, options, 2, begin=1, interval=2)
    wrapper.initialize_count_status(model, 0, 2 * UPDATES)
    train(model, wrapper, 2, range(UPDATES))
    assert all(float(g['lr']) == pytest.approx(0.01)
               for g in wrapper.optimizer.param_groups)  # yapf: disable
    return wrapper.state_dict()['agvm']['lr_scale'], weights(model)


@pytest.mark.parametrize(('type', 'kind'), [
    pytest.param(type, kind, id=f'{type}, {", ".join(kind)}')
    for kind, types in KINDS.items() for type in types
])
def test_they_step_as_the_plain_one(type, kind, device):
    options = dict(type=type, lr=0.01)
    if 'lr in a tensor' in kind:
        options['lr'] = torch.tensor(0.01, device=device)
    options[kind[0]] = True
    needs_optimizer(options, device)
    scale, after = train_with(options, device)
    plain_scale, plain_after = train_with(
        dict(type=type, lr=0.01, foreach=False), device)
    assert scale == pytest.approx(plain_scale, rel=1e-4)
    assert scale['neck'] != 1
    # Captured steps count in single precision.
    torch.testing.assert_close(after, plain_after, rtol=1e-4, atol=1e-6)
