"""Measurements that were due and could not be taken are counted and told."""
import math

import pytest
import torch

from agvm_mm.engine.skipped import SkippedMeasurements
from tests.distributed import run_ranks
from tests.toy import ToyDetector, build_wrapper, samples, train, train_step


def skipped(wrapper):
    """The count, as it is logged."""
    count = wrapper.modulation.skipped.count
    assert wrapper.message_hub.get_scalar(
        'train/agvm/skipped').current() == count
    return count


def told(warnings):
    return [m for m in warnings() if 'could not measure' in m]


def start(optimizer='sgd', **options):
    model = ToyDetector().double()
    options = dict(dict(begin=0, interval=1), **options)
    return model, build_wrapper(model, optimizer, 2, **options)


def test_nothing_is_skipped(warnings):
    model, wrapper = start()
    train(model, wrapper, 2, range(12))
    assert skipped(wrapper) == 0
    assert not told(warnings)


def test_an_anchor_without_gradient(warnings):
    model, wrapper = start()
    model.backbone.requires_grad_(False)
    train(model, wrapper, 2, range(25))
    assert skipped(wrapper) == 25
    warning, = anchor_warnings(warnings)
    assert 'the anchor, backbone, has no gradient: it is frozen' in warning
    assert 'agvm.anchor can be any of backbone, neck, rpn_head' in warning
    # It is measured as soon as it can be, and warned of when it cannot again.
    model.requires_grad_(True)
    train(model, wrapper, 2, range(25, 26))
    assert skipped(wrapper) == 25
    assert wrapper.modulator.lr_scale['neck'] != 1
    model.backbone.requires_grad_(False)
    train(model, wrapper, 2, range(26, 46))
    assert len(anchor_warnings(warnings)) == 2


class FreezesInTrain(ToyDetector):
    """Freezes its backbone late, as mmdet's ResNet may."""

    def train(self, mode=True):
        super().train(mode)
        self.backbone.requires_grad_(False)
        return self


class WithoutGrad(ToyDetector):

    def __init__(self):
        super().__init__()
        self.backbone.register_forward_hook(lambda *args: args[2].detach())


@pytest.mark.parametrize('model', [FreezesInTrain, WithoutGrad])
@pytest.mark.parametrize('optimizer', ['sgd', 'adamw'])
@pytest.mark.parametrize(('begin', 'interval'), [(0, 1), (0, 10), (30, 1)])
def test_one_warning_of_such_an_anchor_at_the_first_update(
        model, optimizer, begin, interval, warnings):
    model = model().double()
    wrapper = build_wrapper(
        model, optimizer, 2, begin=begin, interval=interval)
    model.train()
    train(model, wrapper, 2, range(1))
    assert len(anchor_warnings(warnings)) == 1
    train(model, wrapper, 2, range(1, 50))
    assert len(anchor_warnings(warnings)) == 1
    assert skipped(wrapper) == len(range(begin, 50, interval))


def anchor_warnings(warnings):
    return [m for m in warnings() if 'the anchor, backbone' in m]


def test_moments_that_are_not_there_yet(warnings):
    model, wrapper = start('adamw')
    wrapper.optimizer.step = lambda: None  # as a scaler that skips it
    train(model, wrapper, 2, range(10))
    assert skipped(wrapper) == 10
    warning, = told(warnings)
    assert 'has no second moments in its optimizer yet' in warning


@pytest.mark.parametrize('module', ['backbone', 'neck'])
def test_a_module_that_is_not_finite(module, warnings):
    model, wrapper = start()
    wrapper.optimizer.step = lambda: None
    parameter = next(getattr(model, module).parameters())
    parameter.register_hook(lambda grad: grad * float('nan'))
    train(model, wrapper, 2, range(10))
    assert skipped(wrapper) == 10
    warning, = told(warnings)
    assert module in warning
    assert 'has a gradient that is not finite' in warning
    # Of the others a whole measurement is taken, if there is an anchor.
    moved = wrapper.modulator.lr_scale['rpn_head'] != 1
    assert moved == (module == 'neck')


def test_a_module_that_never_has_a_gradient_is_told_but_not_counted(warnings):
    model, wrapper = start()
    model.roi_head.mask_head.requires_grad_(False)
    train(model, wrapper, 2, range(12))
    assert skipped(wrapper) == 0
    warning, = told(warnings)
    assert 'the module roi_head.mask_head has no gradient' in warning


def test_a_single_replica(warnings):
    model, wrapper = start()
    for update in range(10):
        inputs, targets = samples(update)
        wrapper.initialize_count_status(model, 0, 1)  # its last micro-batch
        train_step(model, wrapper, inputs, targets)
    assert skipped(wrapper) == 10
    warning, = told(warnings)
    assert 'there was a single gradient replica' in warning


def test_a_backward_pass_of_somebody_elses(warnings):
    model, wrapper = start()
    for update in range(10):
        inputs, targets = samples(update)
        model(inputs, targets, mode='loss')['loss'].backward()
        wrapper.step()
        wrapper.zero_grad()
    assert skipped(wrapper) == 10
    warning, = told(warnings)
    assert 'no backward pass of it went through the optimizer' in warning


def spoil_one_rank(rank):
    """A pass that fails on the first rank alone, and what all then do."""
    model = ToyDetector().double()
    wrapper = build_wrapper(model, accumulative_counts=2, begin=0, interval=1)
    ddp = torch.nn.parallel.DistributedDataParallel(model)

    def fail(grad):
        raise RuntimeError('out of memory')

    inputs, targets = samples(0)
    with wrapper.optim_context(ddp):
        loss = ddp(inputs, data_samples=targets, mode='loss')['loss']
    if rank == 0:
        handle = model.neck.weight.register_hook(fail)
        with pytest.raises(RuntimeError, match='out of memory'):
            wrapper.backward(loss)
        handle.remove()
        wrapper._inner_count += 1
    else:
        wrapper.update_params(loss)
    train_step(ddp, wrapper, inputs, targets)
    return wrapper.modulation.skipped.count, wrapper.modulator.lr_scale


def test_all_ranks_skip_what_one_could_not_measure():
    for count, lr_scale in run_ranks(spoil_one_rank, 2):
        assert count == 1
        assert set(lr_scale.values()) == {1.0}


def test_only_skips_in_a_row_are_warned_of(monkeypatch):
    messages = []
    monkeypatch.setattr('agvm_mm.engine.skipped.print_log',
                        lambda message, **kwargs: messages.append(message))
    record = SkippedMeasurements()
    for _ in range(3):
        for _ in range(9):
            record.record('it rains')
        record.record(None)
    assert record.count == 27
    assert not messages
    for _ in range(30):
        record.record('it rains')
    assert len(messages) == 1


def test_samples_that_cannot_be_counted_are_told_once(warnings):
    model, wrapper = start()
    for update in range(4):
        inputs, targets = samples(update)
        for micro_batch in range(2):
            # Somebody's own loop: no forward pass is announced.
            chosen = slice(micro_batch, None, 2)
            losses = model(
                inputs[chosen], data_samples=targets[chosen], mode='loss')
            wrapper.update_params(losses['loss'])
    warning, = (m for m in warnings() if 'count the samples' in m)
    assert 'so it logs no agvm/noise_scale' in warning
    logged = wrapper.message_hub.log_scalars
    assert logged['train/agvm/num_samples'].current() == 0
    assert not any('noise_scale' in key for key in logged)
    assert wrapper.modulator.lr_scale['neck'] != 1


def test_a_mean_that_overflows():
    """Though no replica did, as under DDP's fp16 compression."""
    model, wrapper = start()
    step = wrapper.step

    def overflow(**kwargs):
        model.neck.weight.grad.fill_(math.inf)
        step(**kwargs)

    wrapper.step = overflow
    train(model, wrapper, 2, range(1))
    assert skipped(wrapper) == 1
    assert wrapper.modulator.lr_scale['neck'] == 1
