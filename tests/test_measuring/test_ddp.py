"""The measured replicas, stepped beside the reference on real processes.

The reference is on the CPU, wherever the replicas are.
"""
import functools
import itertools

import pytest
import torch
import torch.distributed as dist
from mmengine.logging import MessageHub
from mmengine.model import BaseModel, MMSeparateDistributedDataParallel
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from agvm_mm import partition_parameters
from tests.distributed import collectives, run_ranks
from tests.reference import ReferenceAGVM
from tests.toy import (
    OPTIMIZERS,
    SAMPLES,
    UPDATES,
    ToyDetector,
    build_wrapper,
    samples,
    sums_of,
    train,
    weights,
)

ESTIMATORS = ('replica', 'half_batch')
# Options of DistributedDataParallel under which gradients travel otherwise.
DDP_OPTIONS = dict(
    default={},
    bucket_view=dict(gradient_as_bucket_view=True),
    small_buckets=dict(bucket_cap_mb=0.001),
    static_graph=dict(static_graph=True),
    unused=dict(find_unused_parameters=True))


def history_of_reference(optimizer, num_replicas, estimator, begin=3):
    model = ToyDetector().double()
    options = dict(OPTIMIZERS[optimizer])
    reference = ReferenceAGVM(
        model, (getattr(torch.optim, options.pop('type')), options),
        partition_parameters(model),
        begin=begin,
        interval=4,
        estimator=estimator)
    share = SAMPLES // num_replicas
    history = []
    for update in range(UPDATES):
        inputs, targets = samples(update)
        reference.step([
            model(
                inputs[i:i + share],
                data_samples=targets[i:i + share],
                mode='loss')['loss'] for i in range(0, SAMPLES, share)
        ], [share] * num_replicas)
        history.append(
            snapshot(model, reference.lr_scale, reference.noise_scale))
    return history


def snapshot(model, lr_scale, noise_scale):
    return dict(
        weights=weights(model).cpu(),
        lr_scale=dict(lr_scale),
        noise_scale={k: dict(v) for k, v in noise_scale.items()})


def history_of_wrapper(rank,
                       num_ranks,
                       optimizer,
                       micro_batches,
                       estimator,
                       ddp_options,
                       device,
                       begin=3):
    model = ToyDetector().double().to(device)
    wrapper = build_wrapper(
        model, optimizer, micro_batches, estimator=estimator, begin=begin)
    wrapped = model
    if num_ranks > 1:
        wrapped = DistributedDataParallel(model, **ddp_options)
    wrapper.initialize_count_status(wrapped, 0, UPDATES * micro_batches)
    history = []
    train(
        wrapped,
        wrapper,
        micro_batches,
        rank=rank,
        num_ranks=num_ranks,
        on_update=lambda _: history.append(
            snapshot(model, *(wrapper.state_dict()['agvm'][key]
                              for key in ('lr_scale', 'noise_scale')))))
    return history


def assert_same(history, reference):
    assert len(history) == len(reference) == UPDATES
    for ours, expected in zip(history, reference):
        assert ours['lr_scale'] == pytest.approx(
            expected['lr_scale'], rel=1e-9)
        for part, values in expected['noise_scale'].items():
            assert ours['noise_scale'][part] == pytest.approx(
                values, rel=1e-9)
        torch.testing.assert_close(
            ours['weights'], expected['weights'], rtol=1e-8, atol=1e-10)
    # The factors have moved, so the comparison was of something.
    moved = [abs(mu - 1) for mu in history[-1]['lr_scale'].values()]
    assert max(moved) > 0.01
    assert min(history[-1]['noise_scale']['noise'].values()) > 0


@pytest.mark.parametrize('optimizer', list(OPTIMIZERS))
@pytest.mark.parametrize('estimator', ESTIMATORS)
@pytest.mark.parametrize('micro_batches', [2, 4])
def test_one_process(optimizer, estimator, micro_batches, device):
    assert_same(
        history_of_wrapper(0, 1, optimizer, micro_batches, estimator, {},
                           device),
        history_of_reference(optimizer, micro_batches, estimator))


def ddp_cases(num_ranks):
    """Optimizer, micro-batches, estimator, DDP options and begin."""
    for optimizer, micro_batches, estimator in itertools.product(
        ('momentum', 'adamw'), (1, 2), ESTIMATORS):
        yield optimizer, micro_batches, estimator, 'default', 3
    if num_ranks == 2:
        # Also from the first update on, when DDP's buckets are not yet final.
        for options in DDP_OPTIONS:
            yield 'momentum', 1, 'replica', options, 0
            yield 'momentum', 1, 'half_batch', options, 0
        yield 'momentum', 2, 'replica', 'bucket_view', 0


def case_id(case):
    return '-'.join(map(str, case))


def train_all_cases(rank, num_ranks, device):
    histories = {}
    for case in ddp_cases(num_ranks):
        optimizer, micro_batches, estimator, options, begin = case
        MessageHub.get_instance(case_id(case))
        histories[case] = history_of_wrapper(rank, num_ranks, optimizer,
                                             micro_batches, estimator,
                                             DDP_OPTIONS[options], device,
                                             begin)
    return histories


@pytest.fixture(scope='module', name='histories')
def _histories(device):
    """Every case's history on every rank, from one start of processes."""
    return functools.lru_cache(None)(
        lambda n: run_ranks(train_all_cases, n, n, device, device=device))


@pytest.mark.parametrize(('num_ranks', 'case'),
                         [(n, case) for n in (2, 4) for case in ddp_cases(n)],
                         ids=lambda value: case_id(value)
                         if isinstance(value, tuple) else None)
def test_ddp(histories, num_ranks, case):
    optimizer, micro_batches, estimator, _, begin = case
    ranks = [histories(num_ranks)[rank][case] for rank in range(num_ranks)]
    # Equal to the bit on all ranks ...
    for other in ranks[1:]:
        for a, b in zip(ranks[0], other):
            assert a['lr_scale'] == b['lr_scale']
            assert a['noise_scale'] == b['noise_scale']
            assert torch.equal(a['weights'], b['weights'])
    # ... and equal to the reference on as many replicas.
    assert_same(
        ranks[0],
        history_of_reference(optimizer, num_ranks * micro_batches, estimator,
                             begin))


def test_ranks_and_micro_batches_are_the_same_replicas(histories, device):
    case = ('momentum', 2, 'replica', 'default', 3)
    two_by_two = histories(2)[0][case]
    four_by_one = histories(4)[0][('momentum', 1, 'replica', 'default', 3)]
    one_by_four = history_of_wrapper(0, 1, 'momentum', 4, 'replica', {},
                                     device)
    for other in (four_by_one, one_by_four):
        for a, b in zip(two_by_two, other):
            assert a['lr_scale'] == pytest.approx(b['lr_scale'], rel=1e-9)


class Branches(nn.Module):
    """A model whose second branch only even ranks use, and a dead module."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Linear(6, 6)
        self.used = nn.Linear(6, 2)
        self.sometimes = nn.Linear(6, 2)
        self.never = nn.Linear(6, 2)
        self.zero = nn.Linear(6, 2)

    def forward(self, inputs, data_samples=None, mode='tensor', branch=True):
        features = self.backbone(inputs)
        out = self.used(features) + 0 * self.zero(features)
        return out + self.sometimes(features) if branch else out


def train_branches(rank, num_ranks, device):
    model = Branches().double().to(device)
    wrapper = build_wrapper(model, begin=0, interval=1)
    ddp = DistributedDataParallel(model, find_unused_parameters=True)
    wrapper.initialize_count_status(ddp, 0, 20)
    for update in range(20):
        inputs, _ = samples(update)
        # The last rank sees an empty image: its loss is zero times something.
        inputs = inputs[rank::num_ranks].to(device)
        loss = ddp(inputs, branch=rank % 2 == 0).square()
        loss = loss.mean() * (0 if rank == num_ranks - 1 else 1)
        wrapper.update_params(loss)
    return wrapper.state_dict()['agvm'], list(
        wrapper.message_hub.log_scalars), weights(model).cpu()


def test_unused_parameters_and_empty_ranks(device):
    ranks = run_ranks(train_branches, 2, 2, device, device=device)
    state, logged, after = ranks[0]
    assert state == ranks[1][0]
    assert torch.equal(after, ranks[1][2])
    assert torch.isfinite(after).all()
    assert state['lr_scale']['never'] == state['lr_scale']['zero'] == 1
    # One rank's branch against another's nothing: Phi = 1 for 'sometimes'.
    assert 'train/agvm/variance/sometimes' in logged
    assert 'train/agvm/variance/never' not in logged
    assert 'train/agvm/variance/zero' not in logged


def refuse(rank):
    model = ToyDetector()
    wrapper = build_wrapper(model)
    with pytest.raises(
            ValueError,
            match='DistributedDataParallel, but the '
            'model is a ToyDetector'):
        wrapper.initialize_count_status(model, 0, 10)


    # torch itself would fail in the first backward pass.
    wrapper = build_wrapper(model, accumulative_counts=2)
    ddp = DistributedDataParallel(model, static_graph=True)
    with pytest.raises(ValueError, match='static_graph=True takes no accu'):
        wrapper.initialize_count_status(ddp, 0, 10)


def test_what_ddp_cannot_do_is_refused():
    run_ranks(refuse, 2)


def refuse_own_groups(rank):
    said = []
    # Each rank's own, though all make all of them; and one of all ranks.
    alone = [dist.new_group([other]) for other in range(2)][rank]
    for make in (lambda: alone, dist.new_group):
        model = ToyDetector()
        wrapper = build_wrapper(model)
        ddp = DistributedDataParallel(model, process_group=make())
        with pytest.raises(ValueError, match='leave process_group out') as e:
            wrapper.initialize_count_status(ddp, 0, 10)
        said.append(str(e.value))
    # In a part of the model, as MMSeparateDistributedDataParallel has them.
    model = ToyDetector()
    wrapper = build_wrapper(model)
    model.neck = DistributedDataParallel(
        model.neck, process_group=dist.new_group())
    with pytest.raises(ValueError, match='leave process_group out'):
        wrapper.initialize_count_status(DistributedDataParallel(model), 0, 10)
    return said


def test_a_process_group_of_its_own_is_refused():
    for alone, both in run_ranks(refuse_own_groups, 2):
        assert 'of 1 of 2 ranks' in alone
        assert 'of 2 of 2 ranks' in both


@pytest.mark.parametrize('error', [TypeError, RuntimeError])
def test_a_device_without_double_precision_is_refused(error, monkeypatch):
    """No such device is here: only its refusal of float64 is made up."""
    zeros = torch.zeros

    def on_mps(*args, **kwargs):
        if kwargs.get('dtype') == torch.float64:
            raise error("MPS doesn't support float64")
        return zeros(*args, **kwargs)

    wrapper = build_wrapper(ToyDetector(), accumulative_counts=2)
    monkeypatch.setattr(torch, 'zeros', on_mps)
    with pytest.raises(ValueError, match=r'MPS doesn.t support float64'):
        wrapper.initialize_count_status(None, 0, 10)


def test_a_model_on_several_devices_is_refused():
    model = ToyDetector()
    model.neck.to('meta')
    wrapper = build_wrapper(model, accumulative_counts=2)
    with pytest.raises(ValueError, match='they are on cpu, meta'):
        wrapper.initialize_count_status(model, 0, 10)


def messages(rank, num_ranks, estimator):
    """What AGVM sends in a measured update, and in another."""
    model = ToyDetector()
    wrapper = build_wrapper(model, begin=0, interval=2, estimator=estimator)
    ddp = DistributedDataParallel(model)
    wrapper.initialize_count_status(ddp, 0, 2)
    found = []
    for update in (0, 1):
        with collectives() as sent:
            train(
                ddp,
                wrapper,
                1, [update],
                rank,
                num_ranks,
                dtype=torch.float32)
        found.append(sent)
    return *found, sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize('estimator', ESTIMATORS)
def test_what_travels_between_ranks(estimator):
    measured, unmeasured, gradient = run_ranks(messages, 2, 2, estimator)[0]
    scalars = 5 * (3 if estimator == 'half_batch' else 2) + 1
    expected = [gradient] if estimator == 'half_batch' else []
    assert measured == [('all_reduce', size) for size in (*expected, scalars)]
    assert unmeasured == []


class Separate(BaseModel):
    """For MMEngine's wrapper that puts DDP around each child."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Linear(6, 8)
        self.neck = nn.Sequential(nn.Linear(8, 8), nn.Tanh())
        self.head = nn.Linear(8, 10)

    def forward(self, inputs, data_samples=None, mode='loss'):
        features = self.neck(self.backbone(inputs).tanh())
        error = self.head(features) - data_samples
        return dict(loss=error.square().sum(1).mean())


def train_checkpointed(rank, estimator):
    """What is measured with parts computed twice, and without."""
    found = {}
    for kind, parts in ((ToyDetector, ()), (ToyDetector, ('backbone', 'neck')),
                        (Separate, ()), (Separate, ('neck', ))):
        model = kind().double()
        for name in parts:
            part = model.get_submodule(name)
            part.forward = functools.partial(
                checkpoint, part.forward, use_reentrant=True)
        model = (
            MMSeparateDistributedDataParallel
            if kind is Separate else DistributedDataParallel)(model)
        wrapper = build_wrapper(
            model, begin=0, interval=1, estimator=estimator)
        # A child of the other is called through its parent.
        called = model.module if kind is Separate else model

        def run(model=model, wrapper=wrapper, called=called):
            for update in range(2):
                inputs, targets = samples(update)
                share = slice(rank * 4, rank * 4 + 4)
                # Or nothing in the checkpointed part would need a gradient.
                inputs = inputs[share].requires_grad_()
                with wrapper.optim_context(model):
                    losses = called(
                        inputs, data_samples=targets[share], mode='loss')
                wrapper.update_params(losses['loss'])

        found[kind.__name__, parts] = sums_of(wrapper, run)
    return found


@pytest.mark.parametrize('estimator', ESTIMATORS)
def test_reentrant_activation_checkpointing(estimator):
    """A backward pass within another, at whose end DDP may be done."""
    for found in run_ranks(train_checkpointed, 2, estimator):
        for kind in ('ToyDetector', 'Separate'):
            plain, twice = [
                sums for (name, _), sums in found.items() if name == kind
            ]
            for ours, expected in zip(twice, plain):
                assert (expected.variance > 0).all()
                for key in ('variance', 'sum_sq', 'mean_sq'):
                    torch.testing.assert_close(
                        getattr(ours, key), getattr(expected, key))


class LogsMore(ToyDetector):
    """With a value that is logged, and that no loss holds."""

    def __init__(self):
        super().__init__()
        self.iou_head = nn.Linear(8, 1)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        found = super().forward(inputs, data_samples, mode)
        if mode == 'loss':
            features = self.neck(self.backbone(inputs))
            found['iou'] = self.iou_head(features).mean()
        return found


def train_with_undefined(rank):
    model = LogsMore().double()
    wrapper = build_wrapper(model, begin=0, interval=1)
    ddp = DistributedDataParallel(model, find_unused_parameters=True)
    wrapper.initialize_count_status(ddp, 0, 3)
    train(ddp, wrapper, 1, range(3), rank, 2)
    return wrapper.modulation.state_dict()


def test_a_gradient_that_is_undefined_is_none():
    """As DDP hands it to parameters of an output that no loss holds."""
    for state in run_ranks(train_with_undefined, 2):
        assert state['skipped'] == 0
        assert state['lr_scale']['iou_head'] == 1
        assert state['lr_scale']['neck'] != 1
