"""Nobody waits for the device but once, on a measured update.

There is no device here to wait for: what would wait is counted where it is
asked for.
"""
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import agvm_mm.measuring.measurement as measurement_module
from tests.test_engine.test_amp import _cpu_amp as cpu_amp  # noqa: F401
from tests.test_engine.test_amp import amp_wrapper
from tests.toy import (
    ToyDetector,
    before_each_step,
    build_wrapper,
    samples,
    train_step,
)

# What copies from a device to the host, or makes the host wait for it.
WAITS = {
    'item', 'tolist', 'cpu', 'numpy', '__bool__', '__int__', '__float__',
    '__index__', 'to', 'nonzero', 'equal', 'allclose', '__contains__'
}


class Waits(TorchFunctionMode):
    """The names of what would wait, as Python calls it."""

    def __init__(self, found):
        super().__init__()
        self.found = found

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, '__name__', '')
        if name in WAITS:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


class Dispatched(TorchDispatchMode):
    """The same seen from below: a number read from a tensor."""

    def __init__(self, found):
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default:
            self.found.append('a number')
        return func(*args, **(kwargs or {}))


def waits_of(wrapper, model, names):
    """What each update waits for, but for tensors that are on the host."""
    found = []
    for number in range(7):
        inputs, targets = samples(number, torch.float32)
        names.clear()
        for i in (0, 4):
            with Waits(names), Dispatched(names):
                train_step(model, wrapper, inputs[i:i + 4], targets[i:i + 4])
        # Between these two marks the tensors are those of the host.
        if 'on the host' in names:
            first, last = names.index('on the host'), names.index('step')
            names[first:last] = []
        found.append([name for name in names if name != 'step'])
    return found


@pytest.mark.parametrize('optimizer', ['momentum', 'adamw'])
@pytest.mark.parametrize('estimator', ['replica', 'half_batch'])
def test_one_copy_a_measured_update(optimizer, estimator, monkeypatch):
    model = ToyDetector()
    plain = waits_of(
        build_wrapper(model, optimizer, 2, type='OptimWrapper'), model, [])
    model = ToyDetector()
    wrapper = build_wrapper(
        model, optimizer, 2, begin=1, interval=2, estimator=estimator)
    names = []
    to_host = measurement_module._to_host

    def marked(message):
        copied = to_host(message)
        names.append('on the host')
        return copied

    monkeypatch.setattr(measurement_module, '_to_host', marked)
    before_each_step(wrapper.optimizer, lambda _: names.append('step'))
    ours = waits_of(wrapper, model, names)
    # The updates 1, 3 and 5 are measured; the others wait for nothing.
    for number, (our, their) in enumerate(zip(ours, plain)):
        measured = ['cpu'] if number in (1, 3, 5) else []
        assert our == measured + their, number
    assert wrapper.modulator.lr_scale['neck'] != 1


@pytest.mark.usefixtures('cpu_amp')
def test_the_loss_scale_is_no_copy_of_its_own(monkeypatch):
    model = ToyDetector()
    wrapper = amp_wrapper(model, loss_scale=dict(init_scale=2.0**10))
    asked = []
    monkeypatch.setattr(wrapper.loss_scaler, 'get_scale',
                        lambda: asked.append(1))
    train_step(model, wrapper, *samples(0, torch.float32))
    train_step(model, wrapper, *samples(1, torch.float32))
    assert wrapper.modulator.lr_scale['neck'] != 1
    assert not asked


@pytest.mark.usefixtures('cpu_amp')
@pytest.mark.parametrize('estimator', ['replica', 'half_batch'])
@pytest.mark.parametrize('scale', [2.0**40, 2.0**70, 2.0**100])
def test_a_huge_loss_scale_leaves_the_measurement_as_it_is(scale, estimator):
    """Of bfloat16, where nothing overflows that would halve it."""
    states = []
    for loss_scale in (1.0, scale):
        model = ToyDetector()
        wrapper = amp_wrapper(
            model, loss_scale=loss_scale, estimator=estimator)
        for number in range(4):
            inputs, targets = samples(number // 2, torch.float32)
            train_step(model, wrapper, inputs, targets)
        states.append(wrapper.state_dict()['agvm'])
    assert states[1]['skipped'] == 0
    assert states[1]['lr_scale'] == pytest.approx(
        states[0]['lr_scale'], rel=1e-4)
