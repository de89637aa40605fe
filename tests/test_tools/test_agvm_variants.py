"""The study's changes of AGVM: their factors, their state, a training."""
import copy
import math

import pytest
import torch
from studies.agvm_variants import (
    DebiasedModulator,
    MeanOneModulator,
    NoiseScaleModulator,
)

from agvm_mm.algorithm.modulator import Modulator
from agvm_mm.algorithm.variance import NoiseScale, replica_variance
from tests.toy import ToyDetector, build_wrapper, train, weights

MODULES = ['neck', 'backbone', 'head']
SIZES = dict(neck=1, backbone=6, head=3)
VARIANTS = [
    'AGVMMeanOneOptimWrapper', 'AGVMNoiseScaleOptimWrapper',
    'AGVMDebiasedOptimWrapper'
]
UPDATES = 12


def settings(momentum=0.0, ratio_range=(0.5, 10.0)):
    return dict(anchor='backbone', momentum=momentum, ratio_range=ratio_range)


def phi(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_mean_one_moves_rate_and_adds_none():
    modulator = MeanOneModulator(MODULES, sizes=SIZES, **settings())
    assert modulator.lr_scale == dict(neck=1, backbone=1, head=1)
    modulator.update(phi(0.1, 0.4, 0.1))
    # Mu is 2, 1 and 2: its mean is (2 + 6 + 3 * 2) / 10.
    mean = 1.4
    applied = dict(neck=2 / mean, backbone=1 / mean, head=2 / mean)
    assert modulator.lr_scale == pytest.approx(applied, rel=1e-5)
    assert modulator.state_dict() == pytest.approx(
        dict(neck=2, backbone=1, head=2), rel=1e-5)


def test_mean_one_averages_mu_before_it_is_divided():
    plain = Modulator(MODULES, **settings(0.9))
    modulator = MeanOneModulator(MODULES, sizes=SIZES, **settings(0.9))
    for head in (0.1, 0.2, 0.3):
        for each in (plain, modulator):
            each.update(phi(0.2, 0.4, head))
    assert modulator.state_dict() == plain.lr_scale
    mean = sum(SIZES[m] * modulator.lr_scale[m] for m in MODULES) / 10
    assert mean == pytest.approx(1)
    again = MeanOneModulator(MODULES, sizes=SIZES, **settings(0.9))
    again.load_state_dict(modulator.state_dict())
    assert again.lr_scale == modulator.lr_scale


def test_noise_scale_gives_the_rate_of_theory():
    # Four replicas of 2 samples: with S of 4, 12 and 8 and |mu|^2 of 1, 1 and
    # 4, B_i is S 2 / |mu|^2, so 8, 24 and 4, and the batch is 8.
    covariance, signal = phi(4, 12, 8), phi(1, 1, 4)
    mean_sq = signal + covariance / 4
    sum_sq = 3 * covariance + 4 * mean_sq
    noise_scale = NoiseScale(MODULES, momentum=0.0)
    noise_scale.update(sum_sq, mean_sq, 4, 2.0)
    assert noise_scale.values() == pytest.approx(
        dict(neck=8, backbone=24, head=4))
    modulator = NoiseScaleModulator(MODULES, **settings())
    modulator.update(replica_variance(sum_sq, mean_sq, 4))
    assert modulator.lr_scale == pytest.approx(
        dict(neck=4 / 2, backbone=1, head=4 / 1.5), rel=1e-6)


def test_noise_scale_is_clipped_where_agvm_is():
    modulator = NoiseScaleModulator(MODULES, **settings())
    modulator.update(phi(1e-9, 0.99, 0.999))
    assert modulator.lr_scale == pytest.approx(
        dict(neck=math.sqrt(10), backbone=1, head=math.sqrt(0.5)))


@pytest.mark.parametrize('none', [1.0, 1.2, 2.0, math.nan])
def test_without_a_signal_there_is_no_noise_scale(none):
    modulator = NoiseScaleModulator(MODULES, **settings(0.5))
    modulator.update(phi(0.2, 0.4, 0.3))
    before = modulator.lr_scale
    modulator.update(phi(none, 0.5, 0.3))
    assert modulator.lr_scale['neck'] == before['neck']
    assert modulator.lr_scale['head'] != before['head']
    before = modulator.lr_scale
    modulator.update(phi(0.2, none, 0.3))
    assert modulator.lr_scale == before


def test_debiased_arrives_at_the_first_measurement():
    modulator = DebiasedModulator(MODULES, **settings(0.9))
    modulator.update(phi(0.1, 0.4, 0.4))
    assert modulator.lr_scale == pytest.approx(
        dict(neck=2, backbone=1, head=1), rel=1e-5)
    modulator.update(phi(0.4, 0.4, math.nan))
    modulator.update(phi(0.1, 0.4, 0.1))
    # Weights of 0.9^2, 0.9 and 1; of the head, which was measured twice, 0.9
    # and 1.
    neck = (0.81 * 2 + 0.9 * 1 + 2) / (0.81 + 0.9 + 1)
    head = (0.9 * 1 + 2) / (0.9 + 1)
    assert modulator.lr_scale == pytest.approx(
        dict(neck=neck, backbone=1, head=head), rel=1e-5)
    assert modulator.counts == dict(neck=3, backbone=3, head=2)


def test_debiased_counts_what_was_measured_alone():
    modulator = DebiasedModulator(MODULES, **settings(0.9))
    modulator.update(phi(0.1, math.nan, math.nan))
    assert modulator.lr_scale == dict(neck=1, backbone=1, head=1)
    modulator.update(phi(0.1, 0.4, math.nan))
    assert modulator.lr_scale == pytest.approx(
        dict(neck=2, backbone=1, head=1), rel=1e-5)
    assert modulator.counts == dict(neck=1, backbone=1, head=0)


@pytest.mark.parametrize('variant', VARIANTS)
def test_a_training_resumes(variant):
    options = dict(
        optimizer='adamw',
        accumulative_counts=4,
        type=variant,
        begin=2,
        interval=1,
        momentum=0.9)
    whole, first, second = (ToyDetector().double() for _ in range(3))
    wrapper = build_wrapper(whole, **options)
    train(whole, wrapper, 4, range(UPDATES))
    cut = build_wrapper(first, **options)
    train(first, cut, 4, range(5))
    resumed = build_wrapper(second, **options)
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(copy.deepcopy(cut.state_dict()))
    train(second, resumed, 4, range(5, UPDATES))
    assert torch.equal(weights(second), weights(whole))
    assert resumed.modulator.lr_scale == wrapper.modulator.lr_scale
    assert resumed.state_dict()['agvm'] == wrapper.state_dict()['agvm']
    assert {group['lr'] for group in wrapper.param_groups} == {0.01}
    # It is not AGVM.
    plain = ToyDetector().double()
    options['type'] = 'AGVMOptimWrapper'
    train(plain, build_wrapper(plain, **options), 4, range(UPDATES))
    assert not torch.equal(weights(plain), weights(whole))


@pytest.mark.parametrize('variant', VARIANTS)
def test_a_checkpoint_of_agvm_or_without_it_is_taken(variant):
    model = ToyDetector().double()
    for kind in ('AGVMOptimWrapper', 'OptimWrapper'):
        saved = build_wrapper(model, 'adamw', 4, kind)
        train(model, saved, 4, range(5))
        wrapper = build_wrapper(model, 'adamw', 4, variant)
        wrapper.load_state_dict(saved.state_dict())
        train(model, wrapper, 4, range(5, 9))
        assert wrapper.modulator.state_dict()['backbone'] == 1


def test_sizes_are_of_what_trains():
    model = ToyDetector()
    model.backbone[0].weight.requires_grad = False
    wrapper = build_wrapper(model, 'sgd', 4, 'AGVMMeanOneOptimWrapper')
    assert wrapper.modulator.sizes == {
        'backbone': 16 + 16 * 16 + 16,
        'neck': 16 * 8 + 8,
        'rpn_head': 8 + 1,
        'roi_head.bbox_head': 8 * 4 + 4,
        'roi_head.mask_head': 8 * 3 + 3
    }
