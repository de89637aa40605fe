"""Mixed precision; tests/amp.py tells how it runs on a CPU."""
import contextlib
import copy

import pytest
import torch
from mmengine.logging import MessageHub
from torch.nn.parallel import DistributedDataParallel

from tests.amp import DTYPES, allow, amp_wrapper, needs_autocast
from tests.distributed import run_ranks
from tests.toy import (
    ToyDetector,
    build_wrapper,
    needs_optimizer,
    samples,
    sums_of,
    train,
    weights,
)

OPTIMIZERS = dict(
    momentum=dict(type='SGD', lr=0.005, momentum=0.9),
    adamw=dict(type='AdamW', lr=0.01),
    # It takes the loss scale out in its own kernel.
    fused=dict(type='AdamW', lr=0.01, fused=True))


@pytest.mark.usefixtures('amp')
@pytest.mark.parametrize('estimator', ['replica', 'half_batch'])
@pytest.mark.parametrize('clip_grad', [None, dict(max_norm=0.1)])
def test_amp_equals_single_precision(estimator, clip_grad, device,
                                     monkeypatch):
    # Nothing is cast: what is left is the loss scale.
    monkeypatch.setattr('mmengine.runner.amp.autocast',
                        lambda dtype: contextlib.nullcontext())
    states = []
    for amp in (True, False):
        model = ToyDetector().to(device)
        if amp:
            wrapper = amp_wrapper(
                model, estimator=estimator, clip_grad=clip_grad)
        else:
            wrapper = build_wrapper(
                model,
                accumulative_counts=2,
                begin=0,
                interval=1,
                estimator=estimator,
                clip_grad=clip_grad)
        train(model, wrapper, 2, range(20), dtype=torch.float32)
        states.append((weights(model), wrapper.state_dict()['agvm']))
    torch.testing.assert_close(states[0][0], states[1][0])
    for key in ('noise', 'signal'):
        # In units of the gradient, not of the scaled gradient.
        assert states[0][1]['noise_scale'][key] == pytest.approx(
            states[1][1]['noise_scale'][key], rel=1e-3)
    assert states[0][1]['lr_scale'] == pytest.approx(
        states[1][1]['lr_scale'], rel=1e-4)


@pytest.mark.usefixtures('amp')
def test_a_scaler_that_is_switched_off(device):
    """As bfloat16 needs none: it is measured as with one."""
    found = []
    for enabled in (False, True):
        model = ToyDetector().to(device)
        wrapper = amp_wrapper(model, loss_scale=dict(enabled=enabled))
        train(model, wrapper, 2, range(4), dtype=torch.float32)
        found.append(wrapper.state_dict()['agvm']['lr_scale'])
    assert found[0] == pytest.approx(found[1], rel=1e-4)
    assert found[0]['neck'] != 1


@pytest.mark.usefixtures('amp')
@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('estimator', ['replica', 'half_batch'])
def test_autocast_is_near_single_precision(dtype, estimator, device):
    needs_autocast(device, dtype)
    variances = []
    for amp in (True, False):
        model = ToyDetector().to(device)
        options = dict(begin=0, interval=1, estimator=estimator)
        wrapper = amp_wrapper(
            model, dtype=dtype, **options) if amp else build_wrapper(
                model, accumulative_counts=2, **options)
        train(model, wrapper, 2, range(1), dtype=torch.float32)
        variances.append({
            m:
            wrapper.message_hub.get_scalar(
                f'train/agvm/variance/{m}').current()
            for m in wrapper.modulator.modules
        })
    assert variances[0] == pytest.approx(variances[1], rel=0.05)
    assert variances[0] != variances[1]


@pytest.mark.usefixtures('amp')
@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('estimator', ['replica', 'half_batch'])
@pytest.mark.parametrize('optimizer', list(OPTIMIZERS))
@pytest.mark.parametrize('value', [float('inf'), float('nan')])
def test_amp_overflow_is_neither_stepped_nor_measured(dtype, estimator,
                                                      optimizer, value,
                                                      device):
    needs_autocast(device, dtype)
    needs_optimizer(OPTIMIZERS[optimizer], device)
    model = ToyDetector().to(device)
    wrapper = amp_wrapper(
        model,
        loss_scale=dict(init_scale=2.0**10),
        dtype=dtype,
        optimizer=OPTIMIZERS[optimizer],
        estimator=estimator)
    train(model, wrapper, 2, range(3), dtype=torch.float32)
    before = weights(model), wrapper.state_dict()['agvm']
    # One element of one module overflows on one micro-batch.
    parameter = model.roi_head.mask_head.bias
    handle = parameter.register_hook(lambda grad: grad + value)
    train(model, wrapper, 2, range(3, 4), dtype=torch.float32)
    handle.remove()
    assert torch.equal(weights(model), before[0])
    after = wrapper.state_dict()['agvm']
    assert after.pop('updates') == before[1]['updates'] + 1
    assert after.pop('skipped') == before[1]['skipped'] + 1
    assert after.items() <= before[1].items()
    assert wrapper.loss_scaler.get_scale() == 2.0**9
    train(model, wrapper, 2, range(4, 5), dtype=torch.float32)
    assert wrapper.state_dict()['agvm']['lr_scale'] != before[1]['lr_scale']
    assert not torch.equal(weights(model), before[0])


def overflow_of_one_rank(rank, num_ranks, device):
    allow(device)
    MessageHub.get_instance('overflow')
    model = ToyDetector().to(device)
    ddp = DistributedDataParallel(model)
    wrapper = amp_wrapper(
        ddp, loss_scale=dict(init_scale=2.0**10), accumulative_counts=1)

    def step(update):
        train(
            ddp,
            wrapper,
            1, [update],
            rank,
            num_ranks,
            dtype=torch.float32)
        return weights(model).cpu(), wrapper.state_dict()['agvm']

    found = [step(0)]
    handle = model.neck.bias.register_hook(
        lambda grad: grad + float('inf') if rank == 1 else grad)
    found.append(step(1))
    handle.remove()
    return [*found, step(2)], wrapper.loss_scaler.get_scale()


@pytest.mark.usefixtures('amp')
def test_an_overflow_on_one_rank_is_skipped_by_all(device):
    ranks = run_ranks(overflow_of_one_rank, 2, 2, device, device=device)
    for (first, overflow, last), scale in ranks:
        assert scale == 2.0**9
        assert torch.equal(first[0], overflow[0])
        assert overflow[1]['skipped'] == first[1]['skipped'] + 1
        assert overflow[1]['lr_scale'] == first[1]['lr_scale']
        assert last[1]['lr_scale'] != first[1]['lr_scale']
    for mine, other in zip(ranks[0][0], ranks[1][0]):
        assert torch.equal(mine[0], other[0])
        assert mine[1] == other[1]


@pytest.mark.usefixtures('amp')
def test_amp_resume_is_bit_identical(device):

    def run(updates, state=None):
        model = ToyDetector().to(device)
        wrapper = amp_wrapper(model, loss_scale=dict(growth_interval=5))
        if state is not None:
            model.load_state_dict(state[0])
            wrapper.load_state_dict(state[1])
            wrapper.initialize_count_status(model, updates[0] * 2, 100)
        train(model, wrapper, 2, updates, dtype=torch.float32)
        return copy.deepcopy((model.state_dict(), wrapper.state_dict()))

    whole = run(range(20))
    resumed_run = run(range(8, 20), run(range(8)))
    assert whole[1]['agvm'] == resumed_run[1]['agvm']
    assert whole[1]['loss_scaler'] == resumed_run[1]['loss_scaler']
    for name, tensor in whole[0].items():
        assert torch.equal(tensor, resumed_run[0][name])


@pytest.mark.usefixtures('amp')
@pytest.mark.parametrize('estimator', ['replica', 'half_batch'])
def test_gradients_that_are_unscaled_before_the_step(device, estimator):
    """As for a clipping of one's own; the scaler takes notice of it too."""

    def update(unscale):
        model = ToyDetector().to(device)
        wrapper = amp_wrapper(model, dtype='float32', estimator=estimator)

        def run():
            inputs, targets = (t.to(device)
                               for t in samples(0, torch.float32))
            for half in (slice(0, 4), slice(4, 8)):
                with wrapper.optim_context(model):
                    loss = model(
                        inputs[half], data_samples=targets[half],
                        mode='loss')['loss']
                wrapper.backward(wrapper.scale_loss(loss))
            if unscale:
                wrapper.loss_scaler.unscale_(wrapper.optimizer)
            wrapper.step()

        sums, = sums_of(wrapper, run)
        return sums

    for ours, expected in zip(update(True)[2:], update(False)[2:]):
        assert ours.tolist() == pytest.approx(expected.tolist(), rel=1e-5)
