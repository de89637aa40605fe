"""Replicas of unequal size, stepped beside the reference."""
import itertools
from functools import partial

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.model import MMDistributedDataParallel

from agvm_mm import partition_parameters
from agvm_mm.algorithm.variance import replica_covariance
from agvm_mm.large_batch.loss_weights import _weighted_backward
from agvm_mm.large_batch.micro_batches import loss_weights
from tests.amp import allow
from tests.distributed import run_ranks
from tests.reference import ReferenceAGVM
from tests.stack import fsdp
from tests.test_measuring.test_fsdp import shard
from tests.toy import (
    OPTIMIZERS,
    SAMPLES,
    ToyDetector,
    build_wrapper,
    samples,
    sums_of,
    train_step,
    weights,
)

UPDATES = 12
ESTIMATORS = ('replica', 'half_batch')
# Of one update's 8 samples: for each rank, its micro-batches.
ONE_RANK = [[3, 3, 2]]
FEW, MANY = [[3], [3], [2]], [[2, 1], [2, 1], [1, 1]]


def slices(ranks):
    """For each rank, where in the update its micro-batches lie."""
    ends = list(itertools.accumulate(itertools.chain(*ranks)))
    starts = iter([0, *ends])
    return [[slice(n, n + size) for size, n in zip(rank, starts)]
            for rank in ranks]


def reference(ranks, optimizer, estimator):
    model = ToyDetector().double()
    options = dict(OPTIMIZERS[optimizer])
    expected = ReferenceAGVM(
        model, (getattr(torch.optim, options.pop('type')), options),
        partition_parameters(model),
        begin=1,
        interval=2,
        estimator=estimator,
        # Of whole ranks, where there are several.
        half=len(ranks) // 2 * len(ranks[0]))
    places = list(itertools.chain(*slices(ranks)))
    for update in range(UPDATES):
        inputs, targets = samples(update)
        expected.step([
            model(inputs[s], data_samples=targets[s], mode='loss')['loss']
            for s in places
        ], list(itertools.chain(*ranks)))
    return weights(model), expected.lr_scale


def step_toy(rank, ranks, optimizer, estimator, wrap=None, by_hand=False,
             **options):
    """Train; return the weights, the factors and the measured sums."""
    MessageHub.get_instance(f'{optimizer} {estimator} {wrap} {by_hand}')
    model = ToyDetector().double()
    if len(ranks) > 1:
        model = (wrap or MMDistributedDataParallel)(model)
    counts = len(ranks[0])
    wrapper = build_wrapper(
        model,
        optimizer,
        counts,
        begin=1,
        interval=2,
        estimator=estimator,
        **options)
    wrapper.initialize_count_status(model, 0, UPDATES * counts)
    wrapper.backward = partial(_weighted_backward, wrapper)
    factors = iter(loss_weights(list(itertools.chain(*ranks))))
    own = [list(itertools.islice(factors, counts)) for _ in ranks][rank]

    def run():
        for update in range(UPDATES):
            inputs, targets = samples(update)
            for s, weight in zip(slices(ranks)[rank], own):
                wrapper.loss_weight = weight
                if not by_hand:
                    train_step(model, wrapper, inputs[s], targets[s])
                    continue
                # Two backward passes are one replica.
                with wrapper.optim_context(model):
                    out = model(inputs[s])
                losses = (out - targets[s]).square() / len(out)
                for part in (losses[:, :4], losses[:, 4:]):
                    wrapper.backward(part.sum() / counts, retain_graph=True)
            if by_hand:
                wrapper.step()
                wrapper.zero_grad()

    measured = sums_of(wrapper, run)
    return weights(model), wrapper.modulator.lr_scale, measured


def assert_same(ours, expected):
    torch.testing.assert_close(ours[0], expected[0], rtol=1e-9, atol=1e-12)
    assert ours[1] == pytest.approx(expected[1], rel=1e-9)
    assert max(abs(scale - 1) for scale in ours[1].values()) > 0.01


@pytest.mark.parametrize('optimizer', ['momentum', 'adamw'])
@pytest.mark.parametrize('estimator', ESTIMATORS)
@pytest.mark.parametrize('by_hand', [False, True])
def test_one_process(optimizer, estimator, by_hand):
    ours = step_toy(0, ONE_RANK, optimizer, estimator, by_hand=by_hand)
    assert_same(ours, reference(ONE_RANK, optimizer, estimator))
    # As equal ones they would be others.
    equal = reference([[1] * 3], optimizer, estimator)
    assert ours[1] != pytest.approx(equal[1], rel=1e-4)


def test_mixed_precision(monkeypatch):
    """The loss scale and the weight are two things."""
    allow('cpu', monkeypatch.setattr)
    monkeypatch.setattr('mmengine.runner.amp.autocast',
                        lambda dtype: torch.autocast('cpu', enabled=False))
    ours = step_toy(
        0, ONE_RANK, 'momentum', 'replica', type='AGVMAmpOptimWrapper')
    assert_same(ours, reference(ONE_RANK, 'momentum', 'replica'))


CASES = [(ranks, optimizer, estimator) for ranks in (FEW, MANY)
         for optimizer in ('momentum', 'adamw') for estimator in ESTIMATORS]


def step_all(rank, sharded):
    ours = [step_toy(rank, *case) for case in CASES]
    theirs = [
        step_toy(rank, *case, wrap=shard) for case in CASES
        if sharded and case[2] == 'replica'
    ]
    return ours, theirs


@pytest.fixture(scope='module', name='stepped')
def _stepped():
    return run_ranks(step_all, 3, not fsdp.args[0])


def test_ranks(stepped):
    for index, case in enumerate(CASES):
        ranks = [ours[index] for ours, _ in stepped]
        for other in ranks[1:]:
            assert other[1] == ranks[0][1]  # to the bit
            assert torch.equal(other[0], ranks[0][0])
        assert_same(ranks[0], reference(*case))
        for sums in ranks[0][2]:
            assert sums.num_samples == SAMPLES


@fsdp
def test_shards(stepped):
    whole, sharded = stepped[0]
    whole = [
        ours for case, ours in zip(CASES, whole) if case[2] == 'replica'
    ]
    for (_, scale, sums), (_, its_scale, its_sums) in zip(whole, sharded):
        assert its_scale == pytest.approx(scale, rel=1e-5)
        for ours, theirs in zip(sums, its_sums):
            # For AdamW the squares are reduced in single precision.
            for name in ('sum_sq', 'mean_sq', 'variance'):
                torch.testing.assert_close(
                    getattr(theirs, name),
                    getattr(ours, name),
                    rtol=1e-5,
                    atol=1e-12)


def noise_scale(sizes, weights, of_squares, samples, draws=2000, width=64):
    """Noise and signal, whose quotient is the scale, over many updates.

    The gradients' are 36 and 1.
    """
    generator = torch.Generator().manual_seed(0)
    mean = torch.ones(width, dtype=torch.float64)
    deviation = 36**0.5  # each element's
    n = len(sizes)
    whole, sum_sq = 0, 0
    for size, weight, of_square in zip(sizes, weights, of_squares):
        noise = torch.randn(
            draws, width, generator=generator, dtype=torch.float64)
        gradient = mean + noise * deviation / size**0.5
        whole = whole + weight * gradient / n
        sum_sq = sum_sq + of_square * gradient.square().sum(1)
    mean_sq = whole.square().sum(1)
    covariance = replica_covariance(sum_sq, mean_sq, n)
    signal = (mean_sq - covariance / n).mean()
    return [(covariance.mean() * samples / width).item(),
            (signal / width).item()]


def test_the_noise_scale_of_unequal_replicas():
    sizes, ones = [16, 16, 16, 16, 1, 1], [1.0] * 6
    weights = loss_weights(sizes)
    mean, harmonic = 66 / 6, 6 / sum(1 / size for size in sizes)
    close = partial(pytest.approx, rel=0.03)
    assert noise_scale(sizes, weights, weights, mean) == close([36, 1])
    # Their squares as those of equal ones.
    assert noise_scale(sizes, weights, ones, mean)[0] == close(171)
    # Losses that nobody has weighted.
    assert noise_scale(sizes, ones, ones, harmonic) == close([36, 1])
