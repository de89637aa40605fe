"""Mixed precision, without the GPU that MMEngine's AmpOptimWrapper asks for.

The two names by which it knows one are replaced; the scaler that then runs is
torch's own, for the CPU. MMEngine's autocast knows bfloat16 alone on a CPU;
where results are compared, it is left out.
"""
import contextlib
import copy

import mmengine.optim.optimizer.amp_optimizer_wrapper as amp_module
import pytest
import torch
from mmengine.optim import build_optim_wrapper

from agvm_mm import AGVMAmpOptimWrapper
from tests.toy import (
    OPTIMIZERS,
    UPDATES,
    ToyDetector,
    build_wrapper,
    train,
    weights,
)


@pytest.fixture(name='cpu_amp')
def _cpu_amp(monkeypatch, request):
    if not hasattr(torch.amp, 'GradScaler'):
        pytest.skip('a GradScaler on a CPU needs torch 2.3 or newer')
    monkeypatch.setattr(amp_module, 'is_cuda_available', lambda: True)
    if 'bfloat16' not in request.node.name:
        monkeypatch.setattr('mmengine.runner.amp.autocast',
                            lambda dtype: contextlib.nullcontext())
    monkeypatch.setattr(amp_module, 'GradScaler',
                        lambda **kwargs: torch.amp.GradScaler('cpu', **kwargs))


def amp_wrapper(model, loss_scale=1024.0, **options):
    options = dict(dict(begin=0, interval=1), **options)
    cfg = OPTIMIZERS['momentum']
    extra = {k: options.pop(k) for k in ('clip_grad', ) if k in options}
    wrapper = build_optim_wrapper(
        model,
        dict(
            type='AGVMAmpOptimWrapper',
            constructor='AGVMOptimWrapperConstructor',
            optimizer=dict(cfg),
            accumulative_counts=2,
            loss_scale=loss_scale,
            dtype='bfloat16',
            agvm=options,
            **extra))
    assert isinstance(wrapper, AGVMAmpOptimWrapper)
    wrapper.initialize_count_status(model, 0, UPDATES * 2)
    return wrapper


@pytest.mark.usefixtures('cpu_amp')
@pytest.mark.parametrize('estimator', ['replica', 'half_batch'])
@pytest.mark.parametrize('clip_grad', [None, dict(max_norm=0.1)])
def test_amp_equals_single_precision(estimator, clip_grad):
    states = []
    for amp in (True, False):
        model = ToyDetector()
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


@pytest.mark.usefixtures('cpu_amp')
@pytest.mark.parametrize('estimator', ['replica', 'half_batch'])
def test_bfloat16_autocast_is_near_single_precision(estimator):
    variances = []
    for amp in (True, False):
        model = ToyDetector()
        options = dict(begin=0, interval=1, estimator=estimator)
        wrapper = amp_wrapper(model, **options) if amp else build_wrapper(
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


@pytest.mark.usefixtures('cpu_amp')
def test_amp_overflow_is_neither_stepped_nor_measured():
    model = ToyDetector()
    wrapper = amp_wrapper(model, loss_scale=dict(init_scale=2.0**10))
    train(model, wrapper, 2, range(3), dtype=torch.float32)
    before = weights(model), wrapper.state_dict()['agvm']
    # One element of one module overflows on one micro-batch.
    parameter = model.roi_head.mask_head.bias
    handle = parameter.register_hook(lambda grad: grad + float('inf'))
    train(model, wrapper, 2, range(3, 4), dtype=torch.float32)
    handle.remove()
    assert torch.equal(weights(model), before[0])
    after = wrapper.state_dict()['agvm']
    assert (after.pop('updates'), after.pop('skipped')) == (4, 1)
    assert after.items() <= before[1].items()
    assert wrapper.loss_scaler.get_scale() == 2.0**9
    train(model, wrapper, 2, range(4, 5), dtype=torch.float32)
    assert wrapper.state_dict()['agvm'] != before[1]


@pytest.mark.usefixtures('cpu_amp')
def test_amp_resume_is_bit_identical():

    def run(updates, state=None):
        model = ToyDetector()
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
