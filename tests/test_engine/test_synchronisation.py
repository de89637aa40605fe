"""Nobody waits for the device but once, on a measured update.

On a GPU torch itself counts the waits. On a CPU there is no device to wait
for: what would wait is counted where it is asked for.
"""
import warnings
from contextlib import contextmanager
from unittest import mock

import pytest
import torch
from mmengine.logging import MessageHub
from torch.nn.parallel import DistributedDataParallel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import agvm_mm.measuring.measurement as measurement_module
from agvm_mm.engine.modulation import Modulation
from tests.amp import allow, amp_wrapper
from tests.distributed import run_ranks
from tests.toy import (
    ToyDetector,
    build_wrapper,
    samples,
    train,
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
        kwargs = kwargs or {}
        name = getattr(func, '__name__', '')
        # Numbers of Python, made a tensor of a device, are copied there.
        waits = name in WAITS or (name == 'tensor' and kwargs.get('device'))
        if waits and not kwargs.get('non_blocking'):
            self.found.append(name)
        return func(*args, **kwargs)


class Dispatched(TorchDispatchMode):
    """The same seen from below: a number read from a tensor."""

    def __init__(self, found):
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default:
            self.found.append('a number')
        return func(*args, **(kwargs or {}))


@contextmanager
def watched(names, device):
    """Add the name of each wait to a list."""
    if device == 'cpu':
        with Waits(names), Dispatched(names):
            yield
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        torch.cuda.set_sync_debug_mode('warn')
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode('default')
    names += ['cpu' for warning in caught
              if 'called a synchronizing' in str(warning.message)]


@pytest.mark.parametrize('ask', [
    torch.Tensor.cpu, torch.Tensor.item, torch.Tensor.tolist,
    lambda tensor: torch.tensor([1.0], device=tensor.device)
])
def test_a_wait_is_seen(ask, device):
    names = []
    tensor = torch.ones(1, device=device)
    with watched(names, device):
        tensor + tensor
    assert names == []
    with watched(names, device):
        ask(tensor)
    assert names


def waits_of(wrapper, model, device):
    """What each update waits for, but for tensors that are on the host."""
    found, names = [], []
    to_host = measurement_module._to_host

    def marked(message):
        copied = to_host(message)
        names.append('on the host')
        return copied

    log = Modulation.log

    def marked_log(*args):
        log(*args)
        names.append('done')

    with mock.patch.object(measurement_module, '_to_host', marked), \
            mock.patch.object(Modulation, 'log', marked_log):
        for number in range(7):
            inputs, targets = (
                t.to(device) for t in samples(number, torch.float32))
            names.clear()
            for i in (0, 4):
                with watched(names, device):
                    train_step(model, wrapper, inputs[i:i + 4],
                               targets[i:i + 4])
            # Between these two marks the tensors are those of the host.
            if device == 'cpu' and 'on the host' in names:
                first, last = names.index('on the host'), names.index('done')
                names[first:last] = []
            found.append(
                [n for n in names if n not in ('done', 'on the host')])
    return found


def waits_with_and_without(rank, num_ranks, device, optimizer, estimator, amp):
    """What AGVM waits for, and what MMEngine's own wrapper does."""
    if amp:
        allow(device)
    found = []
    for type in ('AGVM', ''):
        MessageHub.get_instance(f'{rank}{optimizer}{estimator}{amp}{type}')
        model = ToyDetector().to(device)
        ddp = DistributedDataParallel(model) if num_ranks > 1 else model
        wrapper = build_wrapper(
            model,
            optimizer,
            2,
            type=f'{type}AmpOptimWrapper' if amp else f'{type}OptimWrapper',
            **dict(begin=1, interval=2, estimator=estimator) if type else {})
        wrapper.initialize_count_status(ddp, 0, 14)
        found.append(waits_of(wrapper, ddp, device))
        if type:
            assert wrapper.modulator.lr_scale['neck'] != 1
    return found


def assert_one_wait_a_measured_update(ours, plain):
    # The updates 1, 3 and 5 are measured; the others wait for nothing.
    for number, (our, their) in enumerate(zip(ours, plain)):
        measured = ['cpu'] if number in (1, 3, 5) else []
        # Our groups make the optimizer's state in another order.
        assert sorted(our) == sorted(measured + their), number


@pytest.mark.parametrize('optimizer', ['momentum', 'adamw'])
@pytest.mark.parametrize('estimator', ['replica', 'half_batch'])
def test_one_copy_a_measured_update(optimizer, estimator, device):
    assert_one_wait_a_measured_update(*waits_with_and_without(
        0, 1, device, optimizer, estimator, False))


@pytest.mark.usefixtures('amp')
@pytest.mark.parametrize('estimator', ['replica', 'half_batch'])
def test_one_copy_with_a_loss_scale(estimator, device):
    assert_one_wait_a_measured_update(*waits_with_and_without(
        0, 1, device, 'adamw', estimator, True))


@pytest.mark.parametrize('estimator', ['replica', 'half_batch'])
def test_one_copy_on_each_rank(estimator, device):
    for found in run_ranks(
            waits_with_and_without,
            2,
            2,
            device,
            'adamw',
            estimator,
            False,
            device=device):
        assert_one_wait_a_measured_update(*found)


@pytest.mark.usefixtures('amp')
def test_the_loss_scale_is_no_copy_of_its_own(monkeypatch, device):
    model = ToyDetector().to(device)
    wrapper = amp_wrapper(model, loss_scale=dict(init_scale=2.0**10))
    asked = []
    monkeypatch.setattr(wrapper.loss_scaler, 'get_scale',
                        lambda: asked.append(1))
    train(model, wrapper, 2, range(1), dtype=torch.float32)
    assert wrapper.modulator.lr_scale['neck'] != 1
    assert not asked


@pytest.mark.usefixtures('amp')
@pytest.mark.parametrize('estimator', ['replica', 'half_batch'])
@pytest.mark.parametrize('scale', [2.0**40, 2.0**70, 2.0**100])
def test_a_huge_loss_scale_leaves_the_measurement_as_it_is(
        scale, estimator, device):
    """Of bfloat16, where nothing overflows that would halve it."""
    states = []
    for loss_scale in (1.0, scale):
        model = ToyDetector().to(device)
        wrapper = amp_wrapper(
            model, loss_scale=loss_scale, estimator=estimator)
        train(model, wrapper, 2, range(2), dtype=torch.float32)
        states.append(wrapper.state_dict()['agvm'])
    assert states[1]['skipped'] == 0
    assert states[1]['lr_scale'] == pytest.approx(
        states[0]['lr_scale'], rel=1e-4)
