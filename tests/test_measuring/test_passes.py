"""Updates of several backward passes, stepped beside the reference."""
import itertools

import pytest
import torch
from mmengine.logging import MessageHub
from torch.nn.parallel import DistributedDataParallel

from agvm_mm import partition_parameters
from tests.distributed import run_ranks
from tests.reference import ReferenceAGVM
from tests.toy import (
    OPTIMIZERS,
    SAMPLES,
    ToyDetector,
    build_wrapper,
    samples,
    sums_of,
    train,
    weights,
)

UPDATES = 24
ESTIMATORS = ('replica', 'half_batch')
# The issue's: never measured once, and sums of different updates mixed.
WHEN = ((10, 10), (11, 5), (0, 1))


def losses(model, inputs, targets):
    """Two losses of one model, as of a GAN, each of its own forward pass."""
    for part in (slice(0, 4), slice(4, 10)):
        out = model(inputs)
        yield (out - targets)[:, part].square().sum(1).mean()


def reference(optimizer, estimator, num_replicas, begin, interval):
    model = ToyDetector().double()
    options = dict(OPTIMIZERS[optimizer])
    expected = ReferenceAGVM(
        model, (getattr(torch.optim, options.pop('type')), options),
        partition_parameters(model),
        begin=begin,
        interval=interval,
        estimator=estimator)
    share = SAMPLES // num_replicas
    for update in range(UPDATES):
        inputs, targets = samples(update)
        expected.step([
            sum(losses(model, inputs[i:i + share], targets[i:i + share]))
            for i in range(0, SAMPLES, share)
        ])
    return expected.lr_scale, weights(model)


def step_by_hand(rank, num_ranks, micro_batches, case):
    """Two backward passes a micro-batch, then one step of all of them."""
    optimizer, estimator, (begin, interval) = case
    MessageHub.get_instance('-'.join(map(str, case)))
    model = ToyDetector().double()
    wrapper = build_wrapper(
        model,
        optimizer,
        micro_batches,
        begin=begin,
        interval=interval,
        estimator=estimator)
    ddp = DistributedDataParallel(model) if num_ranks > 1 else model
    share = SAMPLES // num_ranks // micro_batches
    for update in range(UPDATES):
        inputs, targets = samples(update)
        for micro_batch in range(micro_batches):
            first = (rank * micro_batches + micro_batch) * share
            chosen = slice(first, first + share)
            pair = losses(ddp, inputs[chosen], targets[chosen])
            with wrapper.optim_context(ddp):
                loss = next(pair)
            wrapper.backward(loss / micro_batches)
            # Of the same micro-batch: outside of a context of its own.
            wrapper.backward(next(pair) / micro_batches)
        wrapper.step()
        wrapper.zero_grad()
    assert wrapper.clock.updates == UPDATES
    return wrapper.modulator.lr_scale, weights(model)


def all_cases(rank, num_ranks, cases):
    return [step_by_hand(rank, num_ranks, 1, case) for case in cases]


CASES = list(itertools.product(('momentum', 'adamw'), ESTIMATORS, WHEN))


def assert_same(ours, expected):
    torch.testing.assert_close(ours[1], expected[1], rtol=1e-8, atol=1e-10)
    assert ours[0] == pytest.approx(expected[0], rel=1e-9)
    assert max(abs(mu - 1) for mu in ours[0].values()) > 1e-3


def test_two_passes_are_the_replica_of_the_summed_loss():
    ranks = run_ranks(all_cases, 2, 2, CASES)
    for case, ours, other in zip(CASES, *ranks):
        optimizer, estimator, when = case
        assert ours[0] == other[0]
        assert_same(ours, reference(optimizer, estimator, 2, *when))


@pytest.mark.parametrize('case', CASES[::3], ids=str)
def test_two_passes_of_each_micro_batch(case):
    optimizer, estimator, when = case
    assert_same(
        step_by_hand(0, 1, 2, case), reference(optimizer, estimator, 2, *when))


def several_updates_an_iteration(wrapper, model, iterations, noted):
    """A train_step that calls update_params twice."""
    for iteration in iterations:
        for half in (0, 1):
            inputs, targets = samples(2 * iteration + half)
            for chosen in (slice(0, 4), slice(4, 8)):
                with wrapper.optim_context(model):
                    loss = model(
                        inputs[chosen],
                        data_samples=targets[chosen],
                        mode='loss')['loss']
                wrapper.update_params(loss)
        noted.append(wrapper.clock.updates)


@pytest.mark.parametrize('told', [True, False])
def test_several_updates_in_one_iteration_and_a_resume(told):
    options = dict(accumulative_counts=2, begin=5, interval=3)
    model = ToyDetector().double()
    wrapper = build_wrapper(model, **options)
    updates = []
    whole = sums_of(
        wrapper, lambda: several_updates_an_iteration(
            wrapper, model, range(10), updates))
    assert updates == list(range(2, 21, 2))
    assert len(whole) == len(range(5, 20, 3))

    model = ToyDetector().double()
    wrapper = build_wrapper(model, **options)
    found = sums_of(
        wrapper, lambda: several_updates_an_iteration(
            wrapper, model, range(4), []))
    state = model.state_dict(), wrapper.state_dict()
    model = ToyDetector().double()
    wrapper = build_wrapper(model, **options)
    model.load_state_dict(state[0])
    wrapper.load_state_dict(state[1])
    if told:  # in iterations, which are no updates here
        wrapper.initialize_count_status(model, 4, 1000)
    found += sums_of(
        wrapper, lambda: several_updates_an_iteration(
            wrapper, model, range(4, 10), []))
    for ours, theirs in zip(found, whole):
        torch.testing.assert_close(ours.sum_sq, theirs.sum_sq)
    assert len(found) == len(whole)


class OutOfMemoryError(RuntimeError):
    pass


def fail(grad):
    raise OutOfMemoryError


def update(model, wrapper, number, micro_batches=(0, 1)):
    inputs, targets = samples(number)
    for i in micro_batches:
        chosen = slice(4 * i, 4 * i + 4)
        with wrapper.optim_context(model):
            loss = model(
                inputs[chosen], data_samples=targets[chosen],
                mode='loss')['loss']
        wrapper.backward(wrapper.scale_loss(loss))


def update_that_fails(model, wrapper, at):
    """In this micro-batch, which the user's loop catches."""
    update(model, wrapper, 7, range(at))
    handle = model.backbone[0].weight.register_hook(fail)
    with pytest.raises(OutOfMemoryError):
        update(model, wrapper, 7, [at])
    handle.remove()


@pytest.mark.parametrize('clear', ['wrapper', 'optimizer'])
@pytest.mark.parametrize('estimator', ESTIMATORS)
@pytest.mark.parametrize('at', [0, 1, None], ids=['first', 'second', 'load'])
def test_what_was_cut_off_leaves_nothing_behind(at, estimator, clear):
    """A pass that failed, or an update in which a state is loaded.

    The user's loop then clears the gradients and goes on.
    """

    def one_update(failing):
        model = ToyDetector().double()
        wrapper = build_wrapper(
            model,
            accumulative_counts=2,
            begin=0,
            interval=1,
            estimator=estimator)
        if failing and at is None:
            state = wrapper.state_dict()
            update(model, wrapper, 7, [0])
            wrapper.load_state_dict(state)
        elif failing:
            update_that_fails(model, wrapper, at)
        if failing:
            (wrapper if clear == 'wrapper' else wrapper.optimizer).zero_grad()
        sums, = sums_of(
            wrapper, lambda: (update(model, wrapper, 3), wrapper.step()))
        return sums, wrapper.modulation.skipped.count

    (ours, skipped), (clean, _) = one_update(True), one_update(False)
    for a, b in zip(ours, clean):
        assert torch.equal(torch.as_tensor(a), torch.as_tensor(b))
    assert skipped == 0


@pytest.mark.parametrize('estimator', ESTIMATORS)
@pytest.mark.parametrize('at', [0, 1], ids=['first', 'second'])
def test_gradients_that_a_failure_has_spoiled_are_not_measured(at, estimator):
    """The user's loop catches it, and goes on with what there is."""
    model = ToyDetector().double()
    wrapper = build_wrapper(
        model,
        accumulative_counts=2,
        begin=0,
        interval=1,
        estimator=estimator)
    update_that_fails(model, wrapper, at)
    sums, = sums_of(
        wrapper, lambda:
        (update(model, wrapper, 3, range(at, 2)), wrapper.step()))
    assert sums.variance.isnan().all()
    assert wrapper.modulation.skipped.count == 1
    assert set(wrapper.modulator.lr_scale.values()) == {1.0}
    wrapper.zero_grad()
    update(model, wrapper, 4)
    wrapper.step()
    assert wrapper.modulation.skipped.count == 1
    assert wrapper.modulator.lr_scale['neck'] != 1


class CallsItself(ToyDetector):
    """A model whose loss runs the model."""

    def forward(self, inputs, data_samples=None, mode='tensor'):
        if mode == 'loss':
            self(inputs[:1])
            self(inputs, mode='predict')
        return super().forward(inputs, data_samples, mode)


@pytest.mark.parametrize('kind', [ToyDetector, CallsItself])
@pytest.mark.parametrize('between', ['validation', 'forward', 'failure', ''])
def test_samples_are_those_of_the_training_forward_pass(kind, between):
    model = kind().double()
    wrapper = build_wrapper(model, accumulative_counts=2, begin=1, interval=1)
    inputs, targets = samples(99)

    def disturb(_=None):
        if between == 'validation':
            with torch.no_grad():
                model(torch.cat([inputs] * 9), mode='predict')
        elif between == 'forward':
            model(inputs, data_samples=targets, mode='loss')
        elif between == 'failure':
            with pytest.raises(RuntimeError), wrapper.optim_context(model):
                model(inputs, data_samples=targets[:5], mode='loss')

    def run():
        for number in range(3):
            for i in (0, 4):
                own, target = samples(number)
                with wrapper.optim_context(model):
                    loss = model(
                        own[i:i + 4],
                        data_samples=target[i:i + 4],
                        mode='loss')['loss']
                if between != 'failure':
                    disturb()
                wrapper.update_params(loss)
                disturb()

    measured = sums_of(wrapper, run)
    assert len(measured) == 2
    for sums in measured:
        assert sums.num_samples == SAMPLES
        assert sums.num_replicas == 2


def test_training_goes_on_as_in_the_base_class():
    """What the measured update leaves to MMEngine is untouched."""
    model = ToyDetector().double()
    wrapper = build_wrapper(model, accumulative_counts=2, begin=0)
    train(model, wrapper, 2, range(3))
    assert wrapper.inner_count == 6
