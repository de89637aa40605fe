"""Which updates are measured, with which samples and replicas."""
import gc

import pytest

from agvm_mm.measuring.backward_watch import BackwardWatch
from tests.toy import (
    ToyDetector,
    build_wrapper,
    samples,
    sums_of,
    train,
    train_from_scratch,
    train_step,
)


def test_samples_are_counted():
    model = ToyDetector().double()
    wrapper = build_wrapper(model, accumulative_counts=2, begin=0)
    sums, = sums_of(wrapper, lambda: train(model, wrapper, 2, range(1)))
    assert sums.num_samples == 8
    assert sums.num_replicas == 2


def test_a_last_update_of_one_micro_batch_is_not_measured():
    model = ToyDetector().double()
    wrapper = build_wrapper(model, accumulative_counts=2, begin=0, interval=1)
    wrapper.initialize_count_status(model, 0, 5)
    inputs, targets = samples(0)
    states = []
    for i in range(5):
        train_step(model, wrapper, inputs, targets[:, :] + i)
        states.append(wrapper.state_dict()['agvm'])
    assert [state.pop('updates') for state in states] == [0, 1, 1, 2, 3]
    assert [state.pop('skipped') for state in states] == [0, 0, 0, 0, 1]
    assert wrapper.message_hub.get_scalar(
        'train/agvm/num_replicas').data[0].tolist() == [2, 2]
    assert states[4] == states[3]


def test_two_of_three_micro_batches_are_two_replicas():
    model = ToyDetector().double()
    wrapper = build_wrapper(
        model, accumulative_counts=3, begin=1, estimator='half_batch')
    wrapper.initialize_count_status(model, 0, 5)
    for i in range(5):
        train_step(model, wrapper, *samples(i))
    assert wrapper.message_hub.get_scalar(
        'train/agvm/num_replicas').current() == 2
    assert 'train/agvm/variance/neck' in wrapper.message_hub.log_scalars


@pytest.mark.parametrize('bad', [float('inf'), float('nan')])
def test_one_modules_overflow_leaves_the_others_measured(bad):
    model = ToyDetector().double()
    wrapper = build_wrapper(model, 'sgd', 2, begin=0, interval=1)
    wrapper.optimizer.step = lambda: None
    parameter = model.roi_head.mask_head.weight
    parameter.register_hook(lambda grad: grad * bad)
    train(model, wrapper, 2, range(1))
    lr_scale = wrapper.modulator.lr_scale
    assert lr_scale['roi_head.mask_head'] == 1
    assert lr_scale['neck'] != 1
    state = wrapper.state_dict()['agvm']['noise_scale']['noise']
    assert state['roi_head.mask_head'] == 0
    assert state['neck'] > 0


def test_adam_is_measured_only_once_it_has_moments():
    _, wrapper = train_from_scratch(
        range(1), optimizer='adamw', begin=0, interval=1)
    assert set(wrapper.modulator.lr_scale.values()) == {1}
    assert 'train/agvm/variance/neck' not in wrapper.message_hub.log_scalars
    _, wrapper = train_from_scratch(
        range(2), optimizer='adamw', begin=0, interval=1)
    assert wrapper.modulator.lr_scale['neck'] != 1


def test_other_updates_leave_nothing_behind():
    model = ToyDetector().double()
    wrapper = build_wrapper(model, accumulative_counts=2, begin=3, interval=4)
    wrapper.initialize_count_status(model, 0, 100)
    for update in range(9):
        train(model, wrapper, 2, range(update, update + 1))
        assert wrapper.observer.end() is None
        assert not any(p._backward_hooks for p in model.parameters())
    wrapper.replicas.watch = None  # would fail if called
    train(model, wrapper, 2, range(9, 11))


def test_a_failing_backward_leaves_nothing_behind():
    model = ToyDetector().double()
    wrapper = build_wrapper(model, accumulative_counts=2, begin=0)

    def fail(grad):
        raise RuntimeError('out of memory')

    handle = model.backbone[0].weight.register_hook(fail)
    with pytest.raises(RuntimeError, match='out of memory'):
        train(model, wrapper, 2, range(1))
    handle.remove()
    assert not any(p._backward_hooks for p in model.parameters())
    gc.collect()
    assert not any(isinstance(o, BackwardWatch) for o in gc.get_objects())
