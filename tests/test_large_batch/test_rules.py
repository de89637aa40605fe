"""Each rule keeps what it is derived to keep."""
import math

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from torch import nn

from agvm_mm.large_batch.rules import (
    AdamRule,
    CountRule,
    DecayRule,
    EMARule,
    LinearRule,
    SquareRootRule,
)

COPIES = 4000  # of a problem, each with noise of its own
BATCH, K = 64, 4


def quadratic(optimizer, batch, images, noise, curvature=1.0):
    """Mean and deviation of many copies of x, from 1, on a noisy quadratic.

    Args:
        optimizer (Callable): Builds it from parameters.
        batch (int): Samples of an update; noise falls with its square root.
        images (int): Samples in all.
        noise (float): Deviation of one sample's gradient.
        curvature (float): Of the loss.
    """
    generator = torch.Generator().manual_seed(batch)
    x = nn.Parameter(torch.ones(COPIES))
    stepping = optimizer([x])
    for _ in range(images // batch):
        noisy = torch.randn(COPIES, generator=generator)
        x.grad = curvature * x.detach() + noise / math.sqrt(batch) * noisy
        stepping.step()
    return torch.stack([x.detach().mean(), x.detach().std()])


def off(found, wanted):
    """The largest relative difference of two trajectories' ends."""
    return float(((found - wanted) / wanted).abs().max())


def sgd(rule, lr=0.01):
    return lambda p: torch.optim.SGD(p, lr=rule.lr(lr))


def test_the_linear_rule_keeps_the_course_of_sgd():
    """On the way, and where it has settled; the square root does neither."""
    same = LinearRule(BATCH, BATCH)
    for updates, margin in ((100, 0.04), (600, 0.06)):
        images = updates * BATCH
        wanted = quadratic(sgd(same), BATCH, images, noise=40.)
        scaled = [
            quadratic(sgd(rule(BATCH, K * BATCH)), K * BATCH, images, 40.)
            for rule in (LinearRule, SquareRootRule)
        ]
        # Of what has settled the mean is nothing.
        part = slice(updates > 100, None)
        near, far = (off(end[part], wanted[part]) for end in scaled)
        assert near < margin
        assert far > 4 * margin


def test_the_square_root_rule_keeps_the_variance_of_an_update():
    """Of one whose gradient is nothing but noise."""
    rule = SquareRootRule(BATCH, K * BATCH)
    one = quadratic(sgd(SquareRootRule(1, 1)), BATCH, BATCH, 40., 0.)
    other = quadratic(sgd(rule), K * BATCH, K * BATCH, 40., 0.)
    assert off(other, one) < 0.05
    linear = LinearRule(BATCH, K * BATCH)
    spread = quadratic(sgd(linear), K * BATCH, K * BATCH, 40., 0.)
    assert off(spread, one) > 0.9


def adam(rule):
    """Its averages are as long, and eps as large, as to be felt."""
    return lambda p: torch.optim.Adam(
        p,
        lr=rule.lr(0.04),
        betas=[rule.beta(beta) for beta in (0.98, 0.99)],
        eps=rule.eps(10.))


@pytest.mark.parametrize('updates', [300, 1000])
def test_the_rule_of_adam_keeps_the_course_of_adam(updates):
    """Where the gradient is mostly noise; half the rule keeps less of it."""
    images, noise = updates * BATCH, 200.  # of a batch: 25 gradients
    wanted = quadratic(adam(AdamRule(BATCH, BATCH)), BATCH, images, noise)
    course, root, linear = (
        off(
            quadratic(adam(rule(BATCH, K * BATCH)), K * BATCH, images, noise),
            wanted) for rule in (AdamRule, SquareRootRule, LinearRule))
    assert course < 0.06
    assert root > 2 * course
    assert linear > 0.5


@pytest.mark.parametrize('beta', [0.9, 0.999])
@pytest.mark.parametrize('k', [0.5, 2, 4])
def test_an_average_of_adam_looks_as_many_images_back(beta, k):
    """1 / (1 - beta) updates, to which an old gradient has faded."""
    rule = AdamRule(64, round(64 * k))
    assert 1 - rule.beta(beta) == pytest.approx(k * (1 - beta))
    assert rule.eps(1e-8) == pytest.approx(1e-8 / math.sqrt(k))


def test_betas_that_nothing_would_be_left_of():
    assert AdamRule(256, 2559).beta(0.9) > 0
    assert AdamRule(256, 2559).beta(0.0) == 0  # which averages nothing
    with pytest.raises(
            ValueError, match=r'total_batch_size=2560 is 10 times 256, .* '
            r'beta=0.9 into 1 - 10 x 0.1, .*: take 2559 at most, or the rule '
            "'square-root'"):
        AdamRule(256, 2560).beta(0.9)


@pytest.mark.parametrize('rule', [LinearRule, SquareRootRule])
@pytest.mark.parametrize('kind', [torch.optim.SGD, torch.optim.AdamW])
def test_weights_decay_as_much_an_image(rule, kind):
    """Of both kinds whose decay is lr * weight_decay, without a gradient."""
    of_rate, decays = (r(BATCH, K * BATCH) for r in (rule, DecayRule))

    def shrunk(updates, lr, weight_decay):
        x = nn.Parameter(torch.ones(1, dtype=torch.float64))
        optimizer = kind([x], lr=lr, weight_decay=weight_decay)
        for _ in range(updates):
            x.grad = torch.zeros_like(x)
            optimizer.step()
        return float(x.detach())

    lr = of_rate.lr(0.01)
    scaled = decays.weight_decay(0.05, 0.01, lr)
    assert math.log(shrunk(100, lr, scaled)) == pytest.approx(
        math.log(shrunk(100 * K, 0.01, 0.05)), rel=2e-3)
    # As Krizhevsky (2014) takes it.
    power = 0 if rule is LinearRule else 0.5
    assert scaled == pytest.approx(0.05 * K**power)


@pytest.mark.parametrize('k', [2, 8])
def test_an_average_of_weights_takes_one_step_in_the_place_of_k(k):
    """In MMEngine's own average, of a model that stands still meanwhile."""

    def averaged(updates, momentum):
        model = nn.Linear(2, 2).double()
        nn.init.zeros_(model.weight)
        average = ExponentialMovingAverage(model, momentum=momentum)
        average.update_parameters(model)  # the first takes all of it
        nn.init.ones_(model.weight)
        for _ in range(updates):
            average.update_parameters(model)
        return average.module.weight

    scaled = EMARule(16, 16 * k).momentum(0.0002)
    torch.testing.assert_close(averaged(1, scaled), averaged(k, 0.0002))
    assert scaled == pytest.approx(1 - (1 - 0.0002)**k)
    back = EMARule(16 * k, 16).momentum(scaled)
    assert back == pytest.approx(0.0002)


def test_counts_are_of_images():
    """Rounded up, and exact at any size."""
    rule = CountRule(32, 512)
    assert [rule.updates(n) for n in (0, 1, 16, 17, 160_000)
            ] == [0, 1, 1, 2, 10_000]
    assert CountRule(3, 7).updates(7 * 10**17) == 3 * 10**17
    assert CountRule(512, 32).updates(500) == 8000


@pytest.mark.parametrize('batches', [(0, 8), (8, 0), (8, 2.5), (True, 8)])
def test_what_is_no_total_batch(batches):
    with pytest.raises(ValueError, match='must be an int >= 1'):
        LinearRule(*batches)
