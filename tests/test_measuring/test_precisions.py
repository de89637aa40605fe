"""Modules of several precisions, sparse gradients, parameters of no size."""
import functools

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import agvm_mm  # noqa: F401
from agvm_mm.engine.options import ESTIMATORS
from agvm_mm.measuring.direction import Parameter
from agvm_mm.measuring.gradient_buffer import GradientBuffer
from tests.distributed import run_ranks
from tests.stack import trains
from tests.toy import sums_of

UPDATES = 4
# An eps for which a half has room.
SETTINGS = {
    'SGD': dict(lr=0.01),
    'AdamW': dict(lr=0.01, eps=1e-3),
    'Adagrad': dict(lr=0.01, eps=1e-3),
}
HALF, BRAIN, SINGLE, DOUBLE = (torch.float16, torch.bfloat16, torch.float32,
                               torch.float64)
# Older torch multiplies no halves on a CPU, and its gloo sends no bfloat16.
MIXES = [
    dtypes for dtypes in [(HALF, DOUBLE), (SINGLE, DOUBLE), (DOUBLE, SINGLE),
                          (HALF, BRAIN), (SINGLE, HALF), (BRAIN, SINGLE)]
    if all(map(trains, dtypes))
]


class Words(nn.Module):
    """A backbone of an embedding and two layers, a head, and a dead module."""

    def __init__(self, dtypes=(SINGLE, SINGLE), sparse=False, empty=False):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Module()
        self.backbone.first = nn.Linear(6, 8).to(dtypes[0])
        self.backbone.second = nn.Linear(8, 8).to(dtypes[1])
        self.backbone.words = nn.Embedding(10, 6, sparse=sparse)
        self.head = nn.Linear(8, 3).to(dtypes[1])
        self.dead = nn.Linear(3, 3)
        if empty:
            self.backbone.none = nn.Parameter(torch.zeros(0, 3))
            self.empty = nn.ParameterList([torch.zeros(0)])

    def forward(self, words):
        out = self.backbone.words(words)
        for layer in (self.backbone.first, self.backbone.second, self.head):
            out = layer(out.to(layer.weight.dtype))
        loss = out.float().square().sum(-1).mean()
        if hasattr(self, 'empty'):
            loss = loss + self.backbone.none.sum() + self.empty[0].sum()
        return loss


def measure(rank, num_ranks, device, optimizer, estimator, model):
    """The sums of a few updates: of two ranks, or of two micro-batches."""
    MessageHub.get_instance(f'{optimizer}{estimator}{id(model)}')
    model.to(device)
    wrapper = build_optim_wrapper(
        model,
        dict(
            type='AGVMOptimWrapper',
            constructor='AGVMOptimWrapperConstructor',
            optimizer=dict(type=optimizer, **SETTINGS[optimizer]),
            accumulative_counts=2 // num_ranks,
            agvm=dict(begin=1, interval=1, estimator=estimator)))
    if num_ranks > 1:
        model = DistributedDataParallel(model, find_unused_parameters=True)
    wrapper.initialize_count_status(model, 0, UPDATES * 2 // num_ranks)
    generator = torch.Generator().manual_seed(1)

    def train():
        for _ in range(UPDATES):
            halves = torch.randint(0, 10, (2, 4), generator=generator)
            for half in halves[rank::num_ranks]:
                with wrapper.optim_context(model):
                    loss = model(half.to(device))
                wrapper.update_params(loss)

    found = sums_of(wrapper, train)
    assert wrapper.modulation.skipped.count == 0
    modules = wrapper.modulator.modules
    return {
        name: torch.stack([s.variance[modules.index(name)] for s in found])
        for name in ('backbone', 'head')
    }


def measure_all(rank, num_ranks, device):
    """Every mix, optimizer and estimator, on these ranks."""
    found = {}
    for estimator in ESTIMATORS:
        for optimizer in SETTINGS:
            def of(optimizer=optimizer, estimator=estimator, **model):
                return measure(rank, num_ranks, device, optimizer, estimator,
                               Words(**model))

            case = (optimizer, estimator)
            found[(*case, 'single')] = of()
            found[(*case, 'empty')] = of(empty=True)
            for dtypes in MIXES:
                found[(*case, dtypes)] = of(dtypes=dtypes)
            if optimizer != 'AdamW':  # It refuses sparse gradients itself.
                found[(*case, 'sparse')] = of(sparse=True, empty=True)
    return found


@pytest.fixture(scope='module', name='by_ranks')
def _by_ranks(device):

    @functools.lru_cache(None)
    def of(num_ranks):
        if num_ranks == 1:
            return measure_all(0, 1, device)
        return run_ranks(measure_all, 2, 2, device, device=device)[0]

    return of


@pytest.mark.parametrize('num_ranks', [1, 2])
@pytest.mark.parametrize('estimator', ESTIMATORS)
@pytest.mark.parametrize('optimizer', list(SETTINGS))
def test_they_measure_as_dense_ones_in_single(by_ranks, optimizer, estimator,
                                              num_ranks):
    found = by_ranks(num_ranks)
    expected = found[(optimizer, estimator, 'single')]
    for (*case, what), variances in found.items():
        if case != [optimizer, estimator]:
            continue
        rounded = isinstance(what, tuple) and {HALF, BRAIN} & set(what)
        for module, variance in variances.items():
            assert torch.isfinite(variance).all()
            if rounded and optimizer != 'SGD':
                continue  # Second moments in half are others.
            torch.testing.assert_close(
                variance,
                expected[module],
                rtol=0.15 if rounded else 1e-3,
                atol=0)


@pytest.mark.parametrize(('dtypes', 'dtype'), [
    ([HALF, SINGLE], SINGLE),
    ([HALF], SINGLE),
    ([HALF, BRAIN], SINGLE),
    ([HALF, SINGLE, DOUBLE], DOUBLE),
])
def test_a_buffer_loses_no_precision(dtypes, dtype):
    parameters = [
        Parameter(nn.Parameter(torch.zeros(2, dtype=d)), 0, {}, str(d))
        for d in dtypes
    ]
    buffer = GradientBuffer(parameters)
    assert buffer.flat.dtype == dtype
    for _ in range(4):
        buffer.add([(p, torch.full((2, ), 4e4, dtype=p.tensor.dtype))
                    for p in parameters])  # yapf: disable
    for _, total in buffer.gradients():
        assert total.tolist() == pytest.approx([1.6e5] * 2, rel=2e-3)
