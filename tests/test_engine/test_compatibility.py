"""AGVM beside what else a training may switch on: nothing changes, or a word.

DDP's own options are in test_measuring/test_ddp.py, FSDP in test_fsdp.py.
"""
import copy
import logging
from functools import partial

import pytest
import torch
import torch._dynamo
from mmengine.hooks import EMAHook
from mmengine.runner import Runner, activation_checkpointing
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader

from agvm_mm.cpu import CPUDistributedDataParallel
from tests.distributed import run_ranks
from tests.stack import gloo_takes_bfloat16
from tests.toy import (
    OPTIMIZERS,
    ToyDetector,
    build_wrapper,
    samples,
    train,
    weights,
)

UPDATES = 12


def agvm_state(wrapper):
    return wrapper.state_dict()['agvm']


# Hooks that compress DDP's messages.


def compress(rank, num_ranks, name):
    called = []

    def hook(group, bucket):
        called.append(bucket.index())
        return getattr(default_hooks, name)(group, bucket)

    scales = []
    for compressed in (True, False):
        model = ToyDetector()
        wrapper = build_wrapper(model, begin=0, interval=1)
        ddp = DistributedDataParallel(model)
        if compressed:
            ddp.register_comm_hook(None, hook)
        wrapper.initialize_count_status(ddp, 0, UPDATES)
        train(ddp, wrapper, 1, range(5), rank, num_ranks, dtype=torch.float32)
        scales.append(agvm_state(wrapper)['lr_scale'])
    return len(called), scales


@pytest.mark.parametrize('name', [
    'fp16_compress_hook',
    pytest.param('bf16_compress_hook', marks=gloo_takes_bfloat16),
])
def test_compressing_hooks_stay_in_force(name):
    ranks = run_ranks(compress, 2, 2, name)
    assert all(called == 5 for called, _ in ranks)
    (_, (compressed, plain)), (_, (other, _)) = ranks
    assert compressed == other
    assert compressed['neck'] != 1
    # The mean gradient is rounded, the replicas' own are not.
    assert compressed == pytest.approx(plain, rel=0.02)


# torch.compile, as MMEngine's option ``compile`` does it.


def batches():
    for update in range(UPDATES):
        inputs, targets = samples(update, torch.float32)
        for half in (slice(0, 4), slice(4, 8)):
            yield dict(inputs=inputs[half], data_samples=targets[half])


class PlainData(torch.nn.Module):
    """A data preprocessor that finds nothing to do."""

    def forward(self, data, training=False):
        return data


def run_training(work_dir, name, compile=None, hooks=()):
    """Train the toy by MMEngine's own runner; return it."""
    model = ToyDetector()
    model.data_preprocessor = PlainData()
    runner = Runner(
        model=model,
        work_dir=str(work_dir / name),
        train_dataloader=DataLoader(
            list(batches()), collate_fn=lambda batch: batch[0]),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(
            type='AGVMOptimWrapper',
            constructor='AGVMOptimWrapperConstructor',
            optimizer=OPTIMIZERS['momentum'],
            accumulative_counts=2,
            agvm=dict(begin=1, interval=2)),
        custom_hooks=list(hooks),
        cfg=dict(compile=compile) if compile else None,
        default_scope='mmengine',
        log_level='ERROR',
        experiment_name=f'{work_dir.name}_{name}',
        visualizer=dict(
            type='Visualizer', name=f'{work_dir.name}_{name}',
            vis_backends=[]))
    runner.train()
    return runner


def test_a_compiled_train_step_measures_the_same(tmp_path):
    torch._dynamo.reset()
    logging.getLogger('torch._dynamo').setLevel(logging.ERROR)
    graphs = []

    @torch._dynamo.register_backend
    def collecting(graph, inputs):
        graphs.append([str(node.target) for node in graph.graph.nodes])
        return graph.forward

    plain = run_training(tmp_path, 'plain')
    compiled = run_training(tmp_path, 'compiled', dict(backend='collecting'))
    torch.testing.assert_close(weights(plain.model), weights(compiled.model))
    states = [agvm_state(run.optim_wrapper) for run in (plain, compiled)]
    assert states[0]['lr_scale'] == pytest.approx(states[1]['lr_scale'])
    for key, values in states[0]['noise_scale'].items():
        # Of samples, which a hook of the forward pass counts.
        assert values == pytest.approx(states[1]['noise_scale'][key], rel=1e-4)
    # The model is compiled, AGVM's own lines are not, and no update after
    # another compiles anew.
    nodes = [node for graph in graphs for node in graph]
    # A layer by its name, in torch 2.1 and older.
    assert any('linear' in node or 'backbone' in node for node in nodes)
    assert not any('foreach' in node for node in nodes)
    assert len(graphs) < UPDATES


def compiled_and_plain(rank, num_ranks, device, backend):
    """AGVM's state, and the weights, without a compiler and with it."""
    logging.getLogger('torch._dynamo').setLevel(logging.ERROR)
    found = []
    for compiled in (False, True):
        model = ToyDetector().to(device)
        model.data_preprocessor = PlainData()
        wrapper = build_wrapper(
            model, accumulative_counts=2 // num_ranks, begin=1, interval=2)
        if num_ranks > 1:
            model = CPUDistributedDataParallel(model)
        wrapper.initialize_count_status(model, 0, UPDATES * 2 // num_ranks)
        step = model.train_step
        if compiled:
            step = torch.compile(step, backend=backend)
        for batch in list(batches())[rank::num_ranks]:
            batch = {key: value.to(device) for key, value in batch.items()}
            step(batch, optim_wrapper=wrapper)
        found.append((agvm_state(wrapper), weights(model).cpu()))
    return found


def assert_measured_the_same(plain, compiled):
    assert plain[0]['lr_scale']['neck'] != 1
    for key in ('noise', 'signal'):
        assert compiled[0]['noise_scale'][key] == pytest.approx(
            plain[0]['noise_scale'][key], rel=1e-4)
    assert compiled[0]['lr_scale'] == pytest.approx(
        plain[0]['lr_scale'], rel=1e-4)
    torch.testing.assert_close(compiled[1], plain[1])


def test_a_compiled_train_step_measures_the_same_by_micro_batches(device):
    torch._dynamo.reset()
    # The default takes half a minute of the C++ compiler on a CPU.
    backend = 'inductor' if device == 'cuda' else 'aot_eager'
    assert_measured_the_same(*compiled_and_plain(0, 1, device, backend))


def test_a_compiled_train_step_under_ddp_measures_the_same(device):
    ranks = run_ranks(
        compiled_and_plain, 2, 2, device, 'aot_eager', device=device)
    for found in ranks:
        assert_measured_the_same(*found)
    assert ranks[0][1][0] == ranks[1][1][0]


# Activation checkpointing.


def switch_on(model, names, use_reentrant):
    """As mmcv's and mmdet's ``with_cp``, and torch's own advice."""
    for name in names:
        module = model.get_submodule(name)
        module.forward = partial(
            checkpoint, module.forward, use_reentrant=use_reentrant)


reentrant = partial(switch_on, use_reentrant=True)
not_reentrant = partial(switch_on, use_reentrant=False)


def train_checkpointed(how=None, names=()):
    model = ToyDetector().double()
    if how is not None:
        how(model, names)
    wrapper = build_wrapper(model, accumulative_counts=2, begin=0, interval=2)
    wrapper.initialize_count_status(model, 0, 2 * UPDATES)
    for update in range(UPDATES):
        inputs, targets = samples(update)
        # Reentrant checkpointing passes no gradient by inputs without one.
        inputs.requires_grad_()
        for half in (slice(0, 4), slice(4, 8)):
            with wrapper.optim_context(model):
                losses = model(inputs[half], targets[half], mode='loss')
            wrapper.update_params(losses['loss'])
    return agvm_state(wrapper), weights(model)


@pytest.mark.filterwarnings('ignore:.*use_reentrant')
@pytest.mark.parametrize(
    ('how', 'names'),
    [(activation_checkpointing.turn_on_activation_checkpointing,
      ['backbone', 'neck']), (reentrant, ['backbone', 'neck']),
     (not_reentrant, ['backbone', 'neck', 'rpn_head'])],
    ids=['mmengine', 'reentrant', 'not reentrant'])
def test_activation_checkpointing_measures_the_same(how, names):
    expected = train_checkpointed()
    found = train_checkpointed(how, names)
    assert found[0] == expected[0]
    assert torch.equal(found[1], expected[1])


def test_gradients_in_parts_are_refused():
    # The RPN head runs three times on one weight.
    with pytest.raises(
            RuntimeError,
            match=r'rpn_head\.\w+ came in several .*use_reentrant=False'):
        train_checkpointed(reentrant, ['rpn_head'])


# The moving average of the weights.


def test_ema_hook_averages_and_changes_nothing_else(tmp_path):
    plain = run_training(tmp_path, 'plain')
    averaged = run_training(
        tmp_path, 'ema', hooks=[dict(type='EMAHook', momentum=0.1)])
    assert torch.equal(weights(plain.model), weights(averaged.model))
    assert agvm_state(plain.optim_wrapper) == agvm_state(
        averaged.optim_wrapper)
    hook = next(h for h in averaged.hooks if isinstance(h, EMAHook))
    mean = weights(hook.ema_model.module)
    assert not torch.equal(mean, weights(averaged.model))

    # A checkpoint holds the average as the model, beside AGVM's state.
    saved = torch.load(tmp_path / 'ema/epoch_1.pth', weights_only=False)
    state = copy.deepcopy(saved['state_dict'])
    names = [name for name, _ in averaged.model.named_parameters()]
    assert torch.equal(torch.cat([state[n].flatten() for n in names]), mean)
    assert saved['optimizer']['agvm'] == agvm_state(averaged.optim_wrapper)
