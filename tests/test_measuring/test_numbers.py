"""Numbers that go wrong: the factors stay finite, the ranks stay in step."""
import math

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine import Config
from mmengine.logging import MessageHub
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch.nn.parallel import DistributedDataParallel

from tests.commands import ROOT
from tests.distributed import run_ranks
from tests.toy import SAMPLES, ToyDetector, build_wrapper, samples, train_step

LOW, HIGH = 0.5, 10.0  # agvm.ratio_range
RANKS = 2


class Spoiler:
    """Multiplies the gradients of some parameters by what ``scale`` says.

    Its hooks come before AGVM's, so that AGVM sees what DDP will average.
    """

    def __init__(self, model, module, scale):
        self.update = -1
        for name, parameter in model.named_parameters():
            if name.startswith(f'{module}.'):
                parameter.register_hook(lambda g: g * scale(self.update))


def in_bounds(lr_scale):
    return all(
        math.isfinite(mu) and math.sqrt(LOW) <= mu <= math.sqrt(HIGH)
        for mu in lr_scale.values())


def train(rank, updates, case, micro_batches=1, **settings):
    """Train on one rank; what its weights and factors were like.

    Returns:
        tuple: Weights as bytes, factors, and whether these were ever out of
        their bounds.
    """
    MessageHub.get_instance(f'{case}-{settings}')
    module, scale_on = CASES[case]
    model = ToyDetector()
    spoiler = Spoiler(model, module, lambda update: scale_on(rank, update))
    ddp = DistributedDataParallel(model)
    wrapper = build_wrapper(
        ddp, accumulative_counts=micro_batches, begin=0, interval=1,
        ratio_range=(LOW, HIGH), **settings)  # yapf: disable
    wrapper.initialize_count_status(ddp, 0, updates * micro_batches)
    share = SAMPLES // RANKS // micro_batches
    bounded = True
    for update in range(updates):
        spoiler.update = update
        inputs, targets = samples(update, torch.float32)
        for micro_batch in range(micro_batches):
            first = (rank * micro_batches + micro_batch) * share
            chosen = slice(first, first + share)
            train_step(ddp, wrapper, inputs[chosen], targets[chosen])
        bounded &= in_bounds(wrapper.modulator.lr_scale)
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    return weights.numpy().tobytes(), wrapper.modulator.lr_scale, bounded


def adversarial(rank, update):
    """From 1e-30 to 1e30, another on each rank and in each update."""
    generator = torch.Generator().manual_seed(2 * update + rank)
    return 10.0**(60 * torch.rand((), generator=generator).item() - 30)


# By name: the module whose gradients go wrong, and their factor by rank and
# update.
CASES = {
    'nan-on-one-rank': ('neck', lambda rank, update: math.nan
                        if rank == 1 and update == 5 else 1.0),
    'inf-on-one-rank': ('neck', lambda rank, update: math.inf
                        if rank == 1 and update == 5 else 1.0),
    'nan-in-the-anchor': ('backbone', lambda rank, update: math.nan
                          if update == 5 else 1.0),
    'always-zero': ('neck', lambda rank, update: 0.0),
    'zero-on-one-rank': ('neck', lambda rank, update: float(rank)),
    'zero-anchor': ('backbone', lambda rank, update: 0.0),
    'tiny': ('rpn_head', lambda rank, update: 1e-30),
    'huge': ('rpn_head', lambda rank, update: 1e30),
    'opposite': ('neck', lambda rank, update: 1.0 - 2 * rank),
    'adversarial': ('neck', adversarial),
    'adversarial-anchor': ('backbone', adversarial),
}


def run_cases(rank, updates, **settings):
    return {case: train(rank, updates, case, **settings) for case in CASES}


def train_all(rank):
    return {
        estimator: run_cases(rank, 12, estimator=estimator)
        for estimator in ('replica', 'half_batch')
    }


@pytest.fixture(scope='module', name='trained')
def _trained():
    return run_ranks(train_all, RANKS)


@pytest.mark.parametrize('estimator', ['replica', 'half_batch'])
@pytest.mark.parametrize('case', CASES)
def test_factors_are_bounded_and_ranks_in_step(trained, case, estimator):
    first, second = (of_rank[estimator][case] for of_rank in trained)
    weights, lr_scale, bounded = first
    assert bounded
    # To the bit, NaN included.
    assert weights == second[0]
    assert lr_scale == second[1]
    assert lr_scale['backbone'] == 1


def test_a_module_without_gradient_keeps_its_factor(trained):
    _, lr_scale, _ = trained[0]['replica']['always-zero']
    assert lr_scale['neck'] == 1
    assert lr_scale['rpn_head'] != 1
    _, lr_scale, _ = trained[0]['replica']['zero-anchor']
    assert set(lr_scale.values()) == {1}


def long_run(rank, updates):
    return [
        train(rank, updates, case, optimizer=optimizer, clip_grad=clip_grad)
        for case in ('adversarial', 'adversarial-anchor')
        for optimizer, clip_grad in (('sgd', dict(max_norm=1.0)), ('adamw',
                                                                   None))
    ]


@pytest.mark.faults
def test_ten_thousand_adversarial_updates():
    first, second = run_ranks(long_run, RANKS, 10_000)
    for (weights, lr_scale, bounded), other in zip(first, second):
        assert bounded
        assert (weights, lr_scale) == other[:2]


def test_a_learning_rate_of_zero_changes_nothing():
    model = ToyDetector()
    before = [p.detach().clone() for p in model.parameters()]
    wrapper = build_wrapper(
        model, 'sgd', accumulative_counts=2, begin=0, interval=1)
    for group in wrapper.param_groups:
        group['lr'] = 0.0
    for update in range(3):
        inputs, targets = samples(update, torch.float32)
        for half in (slice(0, 4), slice(4, 8)):
            train_step(model, wrapper, inputs[half], targets[half])
    assert all(map(torch.equal, before, model.parameters()))
    assert wrapper.modulator.lr_scale['neck'] != 1


def test_replicas_of_one_sample():
    model = ToyDetector()
    wrapper = build_wrapper(
        model, accumulative_counts=SAMPLES, begin=0, interval=1)
    inputs, targets = samples(0, torch.float32)
    for i in range(SAMPLES):
        train_step(model, wrapper, inputs[i:i + 1], targets[i:i + 1])
    assert in_bounds(wrapper.modulator.lr_scale)
    assert wrapper.modulator.lr_scale['neck'] != 1


def image(generator, num_boxes):
    corners = 32 * torch.rand(num_boxes, 2, generator=generator)
    sample = DetDataSample(
        metainfo=dict(
            img_shape=(64, 64), batch_input_shape=(64, 64), pad_shape=(64,
                                                                       64)))
    sample.gt_instances = InstanceData(
        bboxes=torch.cat([corners, corners + 24], dim=1),
        labels=torch.zeros(num_boxes, dtype=torch.long))
    return torch.randn(3, 64, 64, generator=generator), sample


def train_a_detector(rank, boxes_by_rank):
    init_default_scope('mmdet')
    torch.manual_seed(0)
    config = ROOT / 'configs/digits/faster-rcnn_r18_fpn_agvm_digits.py'
    ddp = DistributedDataParallel(
        MODELS.build(Config.fromfile(config).model).train())
    wrapper = build_wrapper(ddp, begin=0, interval=1)
    generator = torch.Generator().manual_seed(rank)
    for _ in range(3):
        inputs, targets = zip(*(image(generator, boxes_by_rank[rank])
                                for _ in range(2)))
        losses = ddp(torch.stack(inputs), list(targets), mode='loss')
        wrapper.update_params(ddp.module.parse_losses(losses)[0])
    weights = torch.cat([p.detach().flatten() for p in ddp.parameters()])
    return weights, wrapper.modulator.lr_scale


@pytest.mark.parametrize('boxes_by_rank', [(2, 0), (0, 0)])
def test_ranks_without_ground_truth(boxes_by_rank):
    (weights, lr_scale), other = run_ranks(train_a_detector, RANKS,
                                           boxes_by_rank)
    assert weights.isfinite().all()
    assert torch.equal(weights, other[0])
    assert lr_scale == other[1]
    assert in_bounds(lr_scale)
    assert lr_scale['rpn_head'] != 1
