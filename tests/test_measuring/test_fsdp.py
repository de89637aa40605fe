"""Under FSDP the sums are those of DDP, and a run resumes to the bit."""
import copy
import os
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.model.wrappers import MMFullyShardedDataParallel
from mmengine.optim import build_optim_wrapper
from mmengine.runner import FlexibleRunner
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP
from torch.distributed.fsdp.wrap import size_based_auto_wrap_policy

from agvm_mm import AGVMFSDPStrategy
from agvm_mm.compat.fsdp_state import (
    FULL,
    SHARDED,
    make_state,
    read_optimizer_state,
    state_dicts,
)
from agvm_mm.compat.shard_files import RUN
from agvm_mm.compat.shards import load_whole, read_shards, write_shards
from agvm_mm.engine import skipped
from agvm_mm.measuring.fsdp import FLAT_PARAM, UNIT, _check_torch
from agvm_mm.measuring.replicas import replicas_of
from tests.commands import load
from tests.distributed import collectives, run_ranks
from tests.faults.test_faults import assert_equal
from tests.stack import fsdp
from tests.test_large_batch.test_sampler import toy_config
from tests.toy import (
    SAMPLES,
    ToyDetector,
    build_wrapper,
    samples,
    sums_of,
    train,
)

pytestmark = fsdp
UPDATES = range(8)


def shard(model, **options):
    return MMFullyShardedDataParallel(
        model,
        device_id=torch.device('cpu'),
        # The toy's backbone and neck become units of their own.
        auto_wrap_policy=partial(
            size_based_auto_wrap_policy, min_num_params=100),
        **options)


def train_toy(rank, num_ranks, sharded, micro_batches, optimizer, **options):
    """Train the toy; return each update's sums, and the factors."""
    model = ToyDetector().double()
    model = (
        shard(model, **options)
        if sharded else MMDistributedDataParallel(model))
    wrapper = build_wrapper(
        model,
        optimizer=optimizer,
        accumulative_counts=micro_batches,
        begin=1,
        interval=1)
    wrapper.initialize_count_status(model, 0, len(UPDATES) * micro_batches)
    measured = sums_of(
        wrapper, lambda: train(model, wrapper, micro_batches, UPDATES, rank,
                               num_ranks))
    if sharded:
        assert all(unit._comm_hook is None for unit in wrapper.replicas.units)
    return measured, wrapper.modulator.lr_scale


def train_both(rank, *args):
    return [
        train_toy(rank, args[0], sharded, *args[1:])
        for sharded in (False, True)
    ]


@pytest.mark.parametrize(('num_ranks', 'micro_batches'), [(2, 1), (4, 1),
                                                          (2, 2)])
@pytest.mark.parametrize('optimizer', ['momentum', 'adamw'])
def test_sums_are_those_of_ddp(optimizer, num_ranks, micro_batches):
    ranks = run_ranks(train_both, num_ranks, num_ranks, micro_batches,
                      optimizer)
    (theirs, their_scale), (ours, lr_scale) = ranks[0]
    assert len(ours) == len(theirs) == len(UPDATES) - 1
    assert all(rank[1][1] == lr_scale for rank in ranks)  # to the bit
    for sharded, ddp in zip(ours, theirs):
        assert sharded.num_replicas == num_ranks * micro_batches
        assert sharded.num_samples == SAMPLES
        for name in ('sum_sq', 'mean_sq', 'variance'):
            # For AdamW the squares are reduced in single precision.
            torch.testing.assert_close(
                getattr(sharded, name),
                getattr(ddp, name),
                rtol=1e-5,
                atol=1e-12)
    assert lr_scale == pytest.approx(their_scale, rel=1e-5)
    assert any(abs(scale - 1) > 1e-3 for scale in lr_scale.values())


@pytest.mark.parametrize('optimizer', [
    dict(type='RMSprop', lr=1e-3, centered=True),
    dict(type='Adagrad', lr=0.01),  # Its state is there from the start.
])
def test_whatever_divides_does_so_in_shards(optimizer):
    ranks = run_ranks(train_both, 2, 2, 1, optimizer)
    (theirs, _), (ours, _) = ranks[0]
    assert len(ours) == len(theirs) == len(UPDATES) - 1
    for sharded, ddp in zip(ours, theirs):
        torch.testing.assert_close(
            sharded.variance, ddp.variance, rtol=1e-5, atol=0)


def messages(rank, optimizer):
    """What a measured update sends, another one, and one without AGVM."""
    found = []
    for kind in ('AGVMOptimWrapper', 'OptimWrapper'):
        model = shard(ToyDetector())
        agvm = dict(begin=1, interval=2) if 'AGVM' in kind else {}
        wrapper = build_wrapper(model, optimizer, type=kind, **agvm)
        wrapper.initialize_count_status(model, 0, 3)
        for update in range(3):
            with collectives() as sent:
                train(
                    model, wrapper, 1, [update], rank, 2, dtype=torch.float32)
            found.append(Counter(sent))
    _, measured, unmeasured, _, without, _ = found
    return measured, unmeasured, without


@pytest.mark.parametrize('optimizer', ['momentum', 'adamw'])
def test_what_agvm_adds_to_what_travels(optimizer):
    measured, unmeasured, without = run_ranks(messages, 2, optimizer)[0]
    assert unmeasured == without
    squares = Counter()
    if optimizer == 'adamw':  # As many as there are gradients.
        squares = Counter(
            size for name, size in without.elements()
            if name.startswith('reduce_scatter'))
        assert squares
    added = measured - without
    assert added.pop(('all_reduce', 2 * 5 + 1)) == 1
    assert Counter(size for _, size in added.elements()) == squares
    assert not without - measured


def pass_twice(rank):
    """A loop of one's own, whose updates are two backward passes."""
    said = []
    skipped.print_log = lambda message, **kwargs: said.append(message)
    model = shard(ToyDetector())
    wrapper = build_wrapper(model, begin=0, interval=1)
    for update in range(skipped.PATIENCE):
        inputs, targets = samples(update, torch.float32)
        for half in (slice(0, 4), slice(4, 8)):
            with wrapper.optim_context(model):
                loss = model(
                    inputs[half], data_samples=targets[half],
                    mode='loss')['loss']
            wrapper.backward(loss)
        wrapper.step()
        wrapper.zero_grad()
    return wrapper.state_dict()['agvm'], said


def test_several_passes_of_a_micro_batch_are_not_measured():
    for state, said in run_ranks(pass_twice, 2):
        assert state['skipped'] == skipped.PATIENCE
        assert set(state['lr_scale'].values()) == {1.0}
        assert 'a micro-batch must be one backward pass' in said[-1]


def clip(rank):
    """The norm that is logged, and that of the whole gradient."""
    model = shard(ToyDetector())
    wrapper = build_wrapper(model, begin=10**6, clip_grad=dict(max_norm=0.5))
    inputs, targets = samples(0, torch.float32)
    share = slice(rank * 4, rank * 4 + 4)
    loss = model(inputs[share], data_samples=targets[share], mode='loss')
    wrapper.update_params(loss['loss'])
    logged = wrapper.message_hub.get_scalar('train/grad_norm').current()
    plain = ToyDetector()
    plain(inputs, data_samples=targets, mode='loss')['loss'].backward()
    return logged, nn.utils.clip_grad_norm_(plain.parameters(), 1).item()


def clip_where_all_is_frozen(rank):
    """The norms logged where one rank's shard holds no gradient."""
    model = ToyDetector()
    model.backbone.requires_grad_(False)
    model = MMFullyShardedDataParallel(
        model, device_id=torch.device('cpu'), use_orig_params=True)
    wrapper = build_wrapper(
        model, anchor='neck', begin=10**6, clip_grad=dict(max_norm=0.5))
    norms = []
    for update in range(3):
        train(
            model, wrapper, 1, [update], rank, 2, dtype=torch.float32)
        norms.append(
            wrapper.message_hub.get_scalar('train/grad_norm').current())
    return norms


def test_ranks_clip_together_where_one_has_frozen_parameters_alone():
    first, second = run_ranks(clip_where_all_is_frozen, 2)
    assert first == second
    assert min(first) > 0


def clip_as_fsdp_does_not(rank):
    clip_grad = dict(max_norm=0.5, error_if_nonfinite=True)
    with pytest.raises(
            ValueError,
            match=r'clip_grad_norm_ of FSDP takes max_norm, norm_type$'):
        build_wrapper(
            shard(ToyDetector()), begin=10**6, clip_grad=clip_grad)


def test_a_clipping_that_fsdp_does_not_know():
    run_ranks(clip_as_fsdp_does_not, 2)


def test_clipping_takes_the_norm_of_all_shards():
    for logged, whole in run_ranks(clip, 2):
        assert logged == pytest.approx(whole)


def refuse(rank, cases):
    said = []
    for options, agvm in cases:
        with pytest.raises(ValueError) as error:  # noqa: PT011
            build_wrapper(shard(ToyDetector(), **options), **agvm)
        said.append(str(error.value))
    return said


def test_what_fsdp_cannot_measure():
    cases = [(dict(sharding_strategy='NO_SHARD'), {}),
             (dict(use_orig_params=False), {}),
             ({}, dict(estimator='half_batch')), (dict(cpu_offload=True), {})]
    for said in run_ranks(refuse, 2, cases):
        no_shard, hidden, half_batch, offload = said
        assert 'has NO_SHARD. Set it, or train with' in no_shard
        assert 'set use_orig_params=True' in hidden
        assert "under FSDP it must be 'replica'" in half_batch
        assert 'set cpu_offload=False' in offload


def copies(rank):
    """Of four ranks, those that share a copy of the model, and the others."""
    within, over = (
        [dist.new_group(ranks) for ranks in groups] for groups in (
            [[0, 1], [2, 3]], [[0, 2], [1, 3]]))
    return within[rank // 2], over[rank % 2]


def train_copies(rank, optimizer):
    """Four ranks: shards over all of them, and two copies of two shards."""
    groups = copies(rank)
    found = [train_toy(rank, 4, True, 1, optimizer)]
    for strategy in ('HYBRID_SHARD', '_HYBRID_SHARD_ZERO2'):
        options = dict(sharding_strategy=strategy, process_group=groups)
        found.append(train_toy(rank, 4, True, 1, optimizer, **options))
    return found


@pytest.mark.parametrize('optimizer', ['momentum', 'adamw'])
def test_sums_of_shards_with_copies(optimizer):
    ranks = run_ranks(train_copies, 4, optimizer)
    (whole, their_scale), *hybrids = ranks[0]
    for position, (ours, lr_scale) in enumerate(hybrids, start=1):
        assert len(ours) == len(whole) == len(UPDATES) - 1
        assert all(rank[position][1] == lr_scale for rank in ranks)
        for hybrid, full in zip(ours, whole):
            assert hybrid.num_replicas == 4
            assert hybrid.num_samples == SAMPLES
            for name in ('sum_sq', 'mean_sq', 'variance'):
                torch.testing.assert_close(
                    getattr(hybrid, name),
                    getattr(full, name),
                    rtol=1e-5,
                    atol=1e-12)
        assert lr_scale == pytest.approx(their_scale, rel=1e-5)


def refuse_copies(rank):
    """Groups that leave ranks out; and those of the one device of a CPU."""
    alone = [dist.new_group([r]) for r in range(4)][rank]
    pair = copies(rank)[0]
    for strategy in ('HYBRID_SHARD', '_HYBRID_SHARD_ZERO2'):
        said, = refuse(rank, [(dict(
            sharding_strategy=strategy, process_group=(pair, alone)), {})])
        assert 'a process_group of its own, of 2 of 4 ranks: leave' in said
        said, = refuse(rank, [(dict(sharding_strategy=strategy), {})])
        assert 'has NO_SHARD. Set it, or train with' in said


def test_copies_that_leave_ranks_out_are_refused():
    run_ranks(refuse_copies, 4)


def save_copies(rank, folder):
    """Save as two copies of two shards, and go on from that in either way."""
    hybrid = dict(
        sharding_strategy='HYBRID_SHARD', process_group=copies(rank))
    states = []
    for options in (hybrid, hybrid, {}):
        model = shard(ToyDetector().double(), **options)
        wrapper = build_wrapper(model, optimizer='adamw')
        optimizer = wrapper.optimizer
        with state_dicts(model, SHARDED):
            if not states:
                train(model, wrapper, 1, range(3), rank, 4)
                write_shards(
                    folder,
                    dict(
                        state_dict=model.state_dict(),
                        optimizer=FSDP.optim_state_dict(model, wrapper)))
                dist.barrier()
            else:
                make_state(optimizer)
                saved = load(folder / RUN)['optimizer']
                state = read_optimizer_state(folder, model, wrapper,
                                             saved['state'])
                optimizer.load_state_dict(
                    FSDP.optim_state_dict_to_load(model, optimizer,
                                                  dict(saved, state=state)))
                read = read_shards(folder, dict(state_dict=model.state_dict()))
                model.load_state_dict(read['state_dict'])
        with state_dicts(model, FULL):
            states.append((dict(model.state_dict()),
                           FSDP.optim_state_dict(model, wrapper)['state']))
    return states


def test_shards_with_copies_are_saved_and_read(tmp_path):
    states = run_ranks(save_copies, 4, tmp_path / 'saved')[0]
    saved = load_whole(tmp_path / 'saved')
    for weights, state in states:
        assert_equal(weights, saved['state_dict'])
        assert_equal(state, saved['optimizer']['state'])


def refuse_own_group(rank):
    with pytest.raises(ValueError, match='leave process_group out'):
        build_wrapper(shard(ToyDetector(), process_group=dist.new_group()))


def test_a_process_group_of_its_own_is_refused():
    run_ranks(refuse_own_group, 2)


def test_one_process_is_refused():
    (said, ), = run_ranks(refuse, 1, [({}, {})])
    assert 'launch two or more' in said


def run_config(rank, work_dir, updates, resume, optimizer, accumulation):
    """Train the toy by MMEngine's FlexibleRunner; return its weights."""
    os.environ['LOCAL_RANK'] = str(rank)
    cfg = toy_config(work_dir, by_iteration=True)
    cfg.launcher = 'pytorch'
    cfg.env_cfg = dict()
    cfg.train_cfg.max_iters = updates * accumulation
    cfg.train_dataloader.batch_size = 4 // accumulation
    cfg.optim_wrapper.accumulative_counts = accumulation
    cfg.optim_wrapper.optimizer = optimizer
    cfg.param_scheduler = None
    cfg.strategy = dict(
        type='AGVMFSDPStrategy',
        state_dict_cfg='full',
        model_wrapper=dict(
            auto_wrap_policy=dict(type='wrap_classes', classes=['Linear'])))
    cfg.default_hooks = dict(
        checkpoint=dict(
            type='CheckpointHook', by_epoch=False, interval=4 * accumulation))
    cfg.resume = resume
    cfg.experiment_name = f'{Path(work_dir).name}_{updates}'
    runner = FlexibleRunner.from_cfg(cfg)
    runner.train()
    assert runner.optim_wrapper._inner_count == updates * accumulation
    dist.barrier()  # the first rank saves
    last = Path(work_dir) / f'iter_{updates * accumulation}.pth'
    # OneDL's MMEngine takes its classes off the list again after a load.
    return load(last)


@pytest.mark.parametrize(('optimizer', 'accumulation'), [
    (dict(type='SGD', lr=0.01, momentum=0.9), 1),
    (dict(type='AdamW', lr=0.01), 2),
],
                         ids=['sgd', 'adamw'])
def test_resume(optimizer, accumulation, tmp_path):
    whole, cut = tmp_path / 'whole', tmp_path / 'cut'
    options = (optimizer, accumulation)
    expected = run_ranks(run_config, 2, whole, 8, False, *options)[0]
    run_ranks(run_config, 2, cut, 4, False, *options)
    resumed = run_ranks(run_config, 2, cut, 8, True, *options)[0]
    agvm = expected['optimizer']['agvm']
    assert resumed['optimizer']['agvm'] == agvm
    assert agvm['lr_scale']['neck'] != 1
    for name, tensor in expected['state_dict'].items():
        assert torch.equal(tensor, resumed['state_dict'][name]), name


class Layers(BaseModel):
    """Layers of one shape, which torch could take for each other."""

    def __init__(self, layers):
        super().__init__()
        self.backbone = nn.Sequential(
            *(nn.Linear(8, 8) for _ in range(layers)))
        self.neck = nn.Linear(8, 8)

    def forward(self, inputs, data_samples=None, mode='loss'):
        loss = self.neck(self.backbone(inputs)) - data_samples
        return dict(loss=loss.square().mean())


def strategy_of(folder, rank, layers=3, **wrapper):
    """An AGVMFSDPStrategy with AdamW over the layers."""
    os.environ['LOCAL_RANK'] = str(rank)
    torch.manual_seed(0)
    strategy = AGVMFSDPStrategy(
        work_dir=str(folder),
        experiment_name=f'{folder}_{time.time_ns()}',
        model_wrapper=dict(
            use_orig_params=True,
            auto_wrap_policy=dict(type='wrap_classes', classes=['Linear'])))
    strategy.model = strategy._wrap_model(Layers(layers))
    if 'type' not in wrapper:
        wrapper = dict(
            type='AGVMOptimWrapper',
            constructor='AGVMOptimWrapperConstructor',
            agvm=wrapper.get('agvm', dict(begin=1, interval=1)))
    strategy.optim_wrapper = build_optim_wrapper(
        strategy.model,
        dict(wrapper, optimizer=dict(type='AdamW', lr=0.01)))
    strategy.optim_wrapper.initialize_count_status(strategy.model, 0, 100)
    return strategy


def step(strategy, rank, updates):
    wrapper = strategy.optim_wrapper
    for update in range(updates):
        generator = torch.Generator().manual_seed(2 * update + rank)
        inputs = torch.randn(4, 8, generator=generator)
        with wrapper.optim_context(strategy.model):
            loss = strategy.model(inputs, inputs.sin(), mode='loss')['loss']
        wrapper.update_params(loss)


def resume_with_other_groups(rank, folder, saved, resumed):
    """Whose first moments each parameter has, and that it steps on."""
    before = strategy_of(folder, rank, **saved)
    step(before, rank, 2)
    state = before.optim_state_dict()
    after = strategy_of(folder, rank, **resumed)
    after.load_optim_state_dict(copy.deepcopy(state))
    loaded = after.optim_state_dict()
    found = {
        name: [
            other for other, theirs in state['state'].items()
            if torch.equal(of_name['exp_avg'], theirs['exp_avg'])
        ]
        for name, of_name in loaded['state'].items()
    }
    step(after, rank, 1)
    return found, after.optim_wrapper.clock.updates


@pytest.mark.parametrize(('saved', 'resumed'), [
    ({}, dict(agvm=dict(begin=1, modules=dict(mid='backbone.1')))),
    (dict(agvm=dict(begin=1, modules=dict(mid='backbone.1'))), {}),
    (dict(type='OptimWrapper'), {}),
    ({}, dict(layers=2)),
], ids=['split', 'joined', 'plain', 'fewer'])  # yapf: disable
def test_state_finds_its_parameters_in_other_groups(saved, resumed, tmp_path):
    for found, updates in run_ranks(resume_with_other_groups, 2, tmp_path,
                                    saved, resumed):
        assert found == {name: [name] for name in found}
        assert len(found) == 2 * (1 + resumed.get('layers', 3))
        assert updates == (1 if 'type' in saved else 3)


@pytest.mark.parametrize('lacks', [*UNIT, *FLAT_PARAM])
def test_another_fsdp_is_refused(lacks):
    """One whose insides are others; the names stand for torch's objects."""
    flat_param = SimpleNamespace(**dict.fromkeys(FLAT_PARAM))
    unit = SimpleNamespace(**dict.fromkeys(UNIT))
    unit._handle = SimpleNamespace(flat_param=flat_param)
    _check_torch(unit)
    delattr(unit if lacks in UNIT else flat_param, lacks)
    with pytest.raises(ValueError, match=f'has no {lacks}: change torch, or'):
        _check_torch(unit)


def test_an_fsdp_without_its_hooks_is_refused(monkeypatch):
    """A module of torch's that is not public, and is taken away here."""
    monkeypatch.setattr('agvm_mm.measuring.replicas.is_sharded',
                        lambda model: True)
    monkeypatch.delitem(sys.modules, 'agvm_mm.measuring.fsdp')
    monkeypatch.setitem(
        sys.modules,
        'torch.distributed.algorithms._comm_hooks.default_hooks', None)
    with pytest.raises(ValueError, match='FullyShardedDataParallel of torch'):
        replicas_of(None, [], {}, estimator='replica', model=nn.Linear(1, 1))
