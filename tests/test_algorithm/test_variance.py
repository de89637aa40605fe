import math

import pytest
import torch

from agvm_mm.algorithm.variance import (
    NoiseScale,
    half_batch_variance,
    replica_covariance,
    replica_variance,
)


def sums(replicas):
    """sum_r |g_r|^2 and |G|^2 of the last axis; replicas are the one before"""
    return (replicas.square().sum(-1).sum(-1),
            replicas.mean(-2).square().sum(-1))


def gaussian(trials, num_replicas, signal=1.0, size=50, seed=0):
    """Replicas with mean of norm ``signal`` and covariance trace 1."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(
        trials, num_replicas, size, generator=generator, dtype=torch.float64)
    mean = torch.zeros(size, dtype=torch.float64)
    mean[0] = signal
    return mean + noise / math.sqrt(size)


def half_batch_of(replicas):
    half = replicas.shape[1] // 2
    return torch.stack([
        half_batch_variance(r[:half].mean(0), r[half:].mean(0))
        for r in replicas
    ])


def test_exact_at_two_replicas():
    replicas = gaussian(20, 2)
    g1, g2 = replicas.unbind(1)
    expected = (g1 - g2).square().sum(1) / (
        g1.square().sum(1) + g2.square().sum(1))
    torch.testing.assert_close(replica_variance(*sums(replicas), 2), expected)


def test_exact_at_two_replicas_of_equal_norm_is_the_cosine():
    replicas = torch.nn.functional.normalize(gaussian(20, 2), dim=2)
    torch.testing.assert_close(
        replica_variance(*sums(replicas), 2), half_batch_of(replicas))


@pytest.mark.parametrize('num_replicas', [2, 3, 8])
def test_covariance_is_unbiased(num_replicas):
    covariance = replica_covariance(*sums(gaussian(4000, num_replicas)),
                                    num_replicas)
    standard_error = covariance.std() / math.sqrt(4000)
    assert abs(covariance.mean() - 1) < 4 * standard_error


def test_no_covariance_is_below_zero():
    """As rounding alone would make it."""
    assert replica_covariance(
        torch.tensor(3.0), torch.tensor(1.0000001), 3).item() == 0


@pytest.mark.parametrize('num_replicas', [2, 8, 32])
@pytest.mark.parametrize('signal', [0.1, 0.5, 2.0])
def test_same_mean_as_the_half_batch(num_replicas, signal):
    replicas = gaussian(2000, num_replicas, signal)
    ours = replica_variance(*sums(replicas), num_replicas)
    assert ours.mean().item() == pytest.approx(
        half_batch_of(replicas).mean().item(), rel=0.05)


@pytest.mark.parametrize(('num_replicas', 'at_most'), [(8, 0.85), (32, 0.8)])
@pytest.mark.parametrize('signal', [0.1, 0.5, 2.0])
def test_less_spread_than_the_half_batch(num_replicas, at_most, signal):
    replicas = gaussian(2000, num_replicas, signal)
    ours = replica_variance(*sums(replicas), num_replicas)
    assert ours.std() < at_most * half_batch_of(replicas).std()


@pytest.mark.parametrize('scale', [1e-12, 1e9])
def test_scale_invariant(scale):
    replicas = gaussian(5, 4)
    torch.testing.assert_close(
        replica_variance(*sums(replicas * scale), 4),
        replica_variance(*sums(replicas), 4))
    torch.testing.assert_close(
        half_batch_of(replicas * scale), half_batch_of(replicas))


def test_bounds():
    same = torch.ones(1, 4, 3)
    opposite = torch.stack([torch.ones(3), -torch.ones(3)])[None]
    assert replica_variance(*sums(same), 4).item() == 0
    assert replica_variance(*sums(opposite), 2).item() == 2
    assert half_batch_variance(torch.ones(3), torch.ones(3)).item() == 0
    assert half_batch_variance(torch.ones(3), -torch.ones(3)).item() == (
        pytest.approx(2))


def test_zero_gradients_have_no_variance():
    zero = torch.zeros(1)
    assert replica_variance(zero, zero, 2).isnan()
    assert half_batch_variance(zero, zero).isnan()
    assert not replica_variance(zero + float('inf'), zero, 2).isfinite()


def test_one_replica_is_refused():
    with pytest.raises(ValueError, match='num_replicas >= 2, but got 1'):
        replica_variance(torch.ones(1), torch.ones(1), 1)


@pytest.mark.parametrize('signal', [2.0, 0.5])
def test_noise_scale_finds_the_true_one(signal):
    # Trace 1, 16 samples a replica: B = 16 / |mu_g|^2. Of |G|^2 = |mu_g|^2 +
    # 1 / 4 the weaker signal is one half.
    noise_scale = NoiseScale(['backbone'], momentum=0.99)
    for replicas in gaussian(1000, 4, signal):
        sum_sq, mean_sq = sums(replicas)
        noise_scale.update(sum_sq[None], mean_sq[None], 4, 16)
    assert noise_scale.values()['backbone'] == pytest.approx(
        16 / signal**2, rel=0.1)


def test_noise_scale_says_nothing_without_a_signal():
    noise_scale = NoiseScale(['a', 'b'], momentum=0.9)
    opposite = sums(
        torch.tensor([[[1.0], [-1.0]], [[1.0], [0.9]]], dtype=torch.float64))
    noise_scale.update(*opposite, 2, 1)
    assert list(noise_scale.values()) == ['b']
    before = noise_scale.state_dict()
    noise_scale.update(*(s * float('nan') for s in opposite), 2, 1)
    assert noise_scale.state_dict() == before


def test_noise_scale_state():
    noise_scale = NoiseScale(['a', 'b'], momentum=0.9)
    noise_scale.update(*sums(gaussian(2, 4)), 4, 2)
    other = NoiseScale(['b', 'c'], momentum=0.9)
    other.load_state_dict(noise_scale.state_dict())
    assert other.values() == {'b': noise_scale.values()['b']}


def test_a_mean_that_overflowed_has_no_variance():
    """As of gradients that were compressed on their way between ranks."""
    one = torch.ones(1, dtype=torch.float64)
    assert not replica_variance(one, one * math.inf, 2).isfinite()
    noise_scale = NoiseScale(['a'], momentum=0.9)
    before = noise_scale.state_dict()
    noise_scale.update(one, one * math.inf, 2, 1)
    assert noise_scale.state_dict() == before
