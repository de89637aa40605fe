import contextlib
import copy
import gc
import logging

import mmengine.optim.optimizer.amp_optimizer_wrapper as amp_module
import pytest
import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.optim import LinearLR, MultiStepLR, build_optim_wrapper

from agvm_mm import AGVMAmpOptimWrapper
from agvm_mm.backward_watch import BackwardWatch
from tests.toy import (
    OPTIMIZERS,
    UPDATES,
    ToyDetector,
    build_wrapper,
    samples,
    train,
    train_step,
)


@pytest.fixture(autouse=True)
def _own_message_hub(request):
    MessageHub.get_instance(request.node.name)


@pytest.fixture(name='warnings')
def _warnings(request):
    records = []
    logger = MMLogger.get_instance(request.node.name[:60])
    handler = logging.Handler()
    handler.emit = records.append
    logger.addHandler(handler)
    return lambda: [
        r.getMessage() for r in records if r.levelno == logging.WARNING
    ]


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def train_from_scratch(updates=range(UPDATES), micro_batches=2, **options):
    model = ToyDetector().double()
    wrapper = build_wrapper(
        model, accumulative_counts=micro_batches, **options)
    wrapper.initialize_count_status(model, 0, UPDATES * micro_batches)
    train(model, wrapper, micro_batches, updates)
    return model, wrapper


@pytest.mark.parametrize('optimizer', list(OPTIMIZERS))
@pytest.mark.parametrize(
    'off', [
        dict(begin=10**9),
        dict(begin=0, end=0),
        dict(begin=5, interval=10**9, ratio_range=(1.0, 1.0))
    ],
    ids=['begin', 'end', 'ratio_range'])
def test_off_is_bit_identical_to_optim_wrapper(optimizer, off):
    ours, _ = train_from_scratch(optimizer=optimizer, **off)
    plain, _ = train_from_scratch(optimizer=optimizer, type='OptimWrapper')
    assert torch.equal(weights(ours), weights(plain))


def test_on_is_not():
    ours, _ = train_from_scratch()
    plain, _ = train_from_scratch(type='OptimWrapper')
    assert not torch.equal(weights(ours), weights(plain))


def test_off_with_clipping_is_bit_identical():
    clip = dict(clip_grad=dict(max_norm=0.5))
    ours, _ = train_from_scratch(begin=10**9, **clip)
    plain, _ = train_from_scratch(type='OptimWrapper', **clip)
    assert torch.equal(weights(ours), weights(plain))


def test_between_steps_the_lr_is_the_schedulers_own_float():
    seen = []
    for type_ in ('AGVMOptimWrapper', 'OptimWrapper'):
        model = ToyDetector()
        wrapper = build_wrapper(
            model,
            type=type_,
            accumulative_counts=2,
            paramwise_cfg=dict(custom_keys={'neck': dict(lr_mult=0.3)}))
        wrapper.initialize_count_status(model, 0, 2 * UPDATES)
        schedulers = [
            LinearLR(wrapper, start_factor=0.001, end=20, by_epoch=False),
            MultiStepLR(wrapper, milestones=[30, 40], by_epoch=False)
        ]
        lrs = []

        def on_update(_, schedulers=schedulers, wrapper=wrapper, lrs=lrs):
            for scheduler in schedulers:
                scheduler.step()
            lrs.append(sorted({g['lr'] for g in wrapper.param_groups}))

        train(model, wrapper, 2, on_update=on_update, dtype=torch.float32)
        seen.append(lrs)
    assert seen[0] == seen[1]


def test_each_module_steps_at_its_own_lr():
    model, wrapper = train_from_scratch(optimizer='sgd', updates=range(20))
    lr_scale = wrapper.modulator.lr_scale
    assert len(set(lr_scale.values())) == 5
    before = copy.deepcopy(model.state_dict())
    inputs, targets = samples(99)
    # No measurement at this update: (20 - 3) % 4 != 0.
    loss = sum(
        model(inputs[i:i + 4], targets[i:i + 4], mode='loss')['loss']
        for i in (0, 4)) / 2
    grads = torch.autograd.grad(loss, list(model.parameters()))
    for i in (0, 4):
        train_step(model, wrapper, inputs[i:i + 4], targets[i:i + 4])
    module_of = {
        n: g['module']
        for g in wrapper.optimizer.param_groups
        for n in g['param_names']
    }
    for (name, parameter), grad in zip(model.named_parameters(), grads):
        torch.testing.assert_close(
            parameter.data,
            before[name] - 0.01 * lr_scale[module_of[name]] * grad)


def lrs_of_steps(wrapper, model, updates):
    """The lr of every group as each optimizer step sees it."""
    seen = []
    wrapper.optimizer.register_step_pre_hook(lambda optimizer, *_: seen.append(
        [float(g['lr']) for g in optimizer.param_groups]))
    train(model, wrapper, 2, updates)
    return seen


def test_begin_end_and_interval_count_updates():
    model = ToyDetector().double()
    wrapper = build_wrapper(model, 'sgd', 2, begin=4, end=12, interval=3)
    wrapper.initialize_count_status(model, 0, 40)
    measured = []
    update = wrapper.modulator.update
    wrapper.modulator.update = lambda variance: (measured.append(
        (wrapper.inner_count - 1) // 2), update(variance))
    lrs = lrs_of_steps(wrapper, model, range(20))
    assert measured == [4, 7, 10]
    scaled = [len(set(groups)) > 1 for groups in lrs]
    assert scaled == [4 <= u < 12 for u in range(20)]


def test_tensor_lr_is_scaled_and_restored_in_place():
    OPTIMIZERS['tensor_lr'] = dict(
        type='Adam', lr=torch.tensor(0.01), foreach=False)
    try:
        model = ToyDetector().double()
        wrapper = build_wrapper(model, 'tensor_lr', 2, begin=1, interval=1)
    finally:
        del OPTIMIZERS['tensor_lr']
    wrapper.initialize_count_status(model, 0, 20)
    tensors = [g['lr'] for g in wrapper.optimizer.param_groups]
    lrs = lrs_of_steps(wrapper, model, range(10))
    assert len(set(lrs[-1])) > 1
    for group, tensor in zip(wrapper.optimizer.param_groups, tensors):
        assert group['lr'] is tensor
        assert tensor.item() == torch.tensor(0.01).item()


def test_lr_is_restored_when_the_step_fails():
    model, wrapper = train_from_scratch(updates=range(10))
    wrapper.optimizer.step = None
    with pytest.raises(TypeError):
        train(model, wrapper, 2, range(10, 11))
    assert {g['lr'] for g in wrapper.optimizer.param_groups} == {0.005}


def test_clip_grad_range():
    model = ToyDetector().double()
    wrapper = build_wrapper(
        model,
        accumulative_counts=2,
        clip_grad=dict(max_norm=1e-3),
        clip_grad_range=(5, 9),
        optimizer='sgd',
        begin=10**9)
    wrapper.initialize_count_status(model, 0, 40)
    norms = []
    wrapper.optimizer.register_step_pre_hook(lambda *_: norms.append(
        torch.cat([p.grad.flatten() for p in model.parameters()]).norm()))
    train(model, wrapper, 2, range(20))
    assert [n < 1.001e-3 for n in norms] == [5 <= u < 9 for u in range(20)]


def test_clipping_does_not_change_what_is_measured():
    _, free = train_from_scratch(updates=range(1), begin=0)
    _, clipped = train_from_scratch(
        updates=range(1), begin=0, clip_grad=dict(max_norm=1e-6))
    assert clipped.modulator.lr_scale == free.modulator.lr_scale
    assert free.modulator.lr_scale['neck'] != 1


def test_log():
    _, wrapper = train_from_scratch(updates=range(8))
    scalars = {
        k: v.data[0].tolist()
        for k, v in wrapper.message_hub.log_scalars.items()
    }
    modules = wrapper.modulator.modules
    for module in modules:
        assert len(scalars[f'train/agvm/variance/{module}']) == 2
        assert scalars[f'train/agvm/lr_scale/{module}'][-1] == (
            wrapper.modulator.lr_scale[module])
    assert scalars['train/agvm/num_replicas'] == [2, 2]
    noise_scale = wrapper.noise_scale.values()
    assert noise_scale
    for module, value in noise_scale.items():
        assert scalars[f'train/agvm/noise_scale/{module}'][-1] == value
    kinds = {key.split('/')[2] for key in scalars}
    assert kinds == {'variance', 'lr_scale', 'noise_scale', 'num_replicas'}


def test_samples_are_counted():
    model = ToyDetector().double()
    wrapper = build_wrapper(model, accumulative_counts=2, begin=0)
    finish, seen = wrapper.replicas.finish, []
    wrapper.replicas.finish = lambda scale: seen.append(finish(scale)) or seen[
        -1]
    train(model, wrapper, 2, range(1))
    assert seen[0].num_samples == 8
    assert seen[0].num_replicas == 2


def test_a_last_update_of_one_micro_batch_is_not_measured():
    model = ToyDetector().double()
    wrapper = build_wrapper(model, accumulative_counts=2, begin=0, interval=1)
    wrapper.initialize_count_status(model, 0, 5)
    inputs, targets = samples(0)
    states = []
    for i in range(5):
        train_step(model, wrapper, inputs, targets[:, :] + i)
        states.append(wrapper.state_dict()['agvm'])
    assert wrapper.message_hub.get_scalar(
        'train/agvm/num_replicas').data[0].tolist() == [2, 2]
    assert states[4] == states[3]


def test_two_of_three_micro_batches_are_two_replicas():
    model = ToyDetector().double()
    wrapper = build_wrapper(
        model, accumulative_counts=3, begin=1, estimator='half_batch')
    wrapper.initialize_count_status(model, 0, 5)
    for i in range(5):
        train_step(model, wrapper, *samples(i))
    assert wrapper.message_hub.get_scalar(
        'train/agvm/num_replicas').current() == 2
    assert 'train/agvm/variance/neck' in wrapper.message_hub.log_scalars


@pytest.mark.parametrize('bad', [float('inf'), float('nan')])
def test_one_modules_overflow_leaves_the_others_measured(bad):
    model = ToyDetector().double()
    wrapper = build_wrapper(model, 'sgd', 2, begin=0, interval=1)
    wrapper.optimizer.step = lambda: None
    parameter = model.roi_head.mask_head.weight
    parameter.register_hook(lambda grad: grad * bad)
    train(model, wrapper, 2, range(1))
    lr_scale = wrapper.modulator.lr_scale
    assert lr_scale['roi_head.mask_head'] == 1
    assert lr_scale['neck'] != 1
    state = wrapper.state_dict()['agvm']['noise_scale']['noise']
    assert state['roi_head.mask_head'] == 0
    assert state['neck'] > 0


def test_adam_is_measured_only_once_it_has_moments():
    _, wrapper = train_from_scratch(
        range(1), optimizer='adamw', begin=0, interval=1)
    assert set(wrapper.modulator.lr_scale.values()) == {1}
    assert 'train/agvm/variance/neck' not in wrapper.message_hub.log_scalars
    _, wrapper = train_from_scratch(
        range(2), optimizer='adamw', begin=0, interval=1)
    assert wrapper.modulator.lr_scale['neck'] != 1


def test_other_updates_leave_nothing_behind():
    model = ToyDetector().double()
    wrapper = build_wrapper(model, accumulative_counts=2, begin=3, interval=4)
    wrapper.initialize_count_status(model, 0, 100)
    for update in range(9):
        train(model, wrapper, 2, range(update, update + 1))
        assert not wrapper.replicas.samples.total
        assert not any(p._backward_hooks for p in model.parameters())
    wrapper.replicas.observe = None  # would fail if called
    train(model, wrapper, 2, range(9, 11))


def test_a_failing_backward_leaves_nothing_behind():
    model = ToyDetector().double()
    wrapper = build_wrapper(model, accumulative_counts=2, begin=0)

    def fail(grad):
        raise RuntimeError('out of memory')

    handle = model.backbone[0].weight.register_hook(fail)
    with pytest.raises(RuntimeError, match='out of memory'):
        train(model, wrapper, 2, range(1))
    handle.remove()
    assert not any(p._backward_hooks for p in model.parameters())
    gc.collect()
    assert not any(isinstance(o, BackwardWatch) for o in gc.get_objects())


def test_one_replica_is_refused_before_training():
    model = ToyDetector()
    wrapper = build_wrapper(model)
    with pytest.raises(
            ValueError,
            match=r'accumulative_counts=1 has a single '
            r'one\. .*dist_train.sh CONFIG 2.*accumulative_counts '
            r'to 2'):
        wrapper.initialize_count_status(model, 0, 10)


def test_a_begin_after_the_end_is_warned_of(warnings):
    model = ToyDetector()
    wrapper = build_wrapper(model, accumulative_counts=2, begin=5)
    wrapper.initialize_count_status(model, 0, 12)
    assert not any('do nothing' in message for message in warnings())
    wrapper.initialize_count_status(model, 0, 10)
    assert any(
        'agvm.begin=5, but agvm.end or the end of the training is 5' in message
        for message in warnings())


# State


def resumed(model, state_dict, first, log=None, **options):
    """Go on from a model and a saved state, as a new process would."""
    model = copy.deepcopy(model)
    wrapper = build_wrapper(model, accumulative_counts=2, **options)
    untouched = copy.deepcopy(state_dict)
    wrapper.load_state_dict(state_dict)
    assert state_dict.keys() == untouched.keys()
    wrapper.initialize_count_status(model, first * 2, UPDATES * 2)
    train(model, wrapper, 2, range(first, UPDATES))
    return model, wrapper


@pytest.mark.parametrize('optimizer', ['momentum', 'adamw'])
@pytest.mark.parametrize('estimator', ['replica', 'half_batch'])
@pytest.mark.parametrize('cut', [2, 7, 20])
def test_resume_gives_the_bits_of_the_uninterrupted_run(
        optimizer, estimator, cut):
    options = dict(optimizer=optimizer, estimator=estimator)
    whole, whole_wrapper = train_from_scratch(**options)
    model, wrapper = train_from_scratch(range(cut), **options)
    model, wrapper = resumed(model, copy.deepcopy(wrapper.state_dict()), cut,
                             **options)
    assert torch.equal(weights(model), weights(whole))
    assert (wrapper.state_dict()['agvm'] == whole_wrapper.state_dict()['agvm'])


def test_state_is_plain_and_by_name():
    _, wrapper = train_from_scratch(range(10))
    state = wrapper.state_dict()['agvm']
    assert state['lr_scale'] == wrapper.modulator.lr_scale
    assert set(state) == {'lr_scale', 'noise_scale'}
    assert all(type(mu) is float for mu in state['lr_scale'].values())


@pytest.mark.parametrize(
    'paramwise_cfg',
    [None, dict(custom_keys={'neck': dict(lr_mult=0.1)})])
def test_resume_from_a_run_without_agvm(paramwise_cfg, warnings):
    options = dict(paramwise_cfg=paramwise_cfg)
    plain, wrapper = train_from_scratch(
        range(10), type='OptimWrapper', **options)
    for group in wrapper.param_groups:
        group['lr'] *= 0.5  # as a schedule may have left it
    saved = copy.deepcopy(wrapper.state_dict())
    other = build_wrapper(copy.deepcopy(plain), begin=10**9, **options)
    other.load_state_dict(copy.deepcopy(saved))
    assert other.get_lr()['base_lr'] == [0.0025]
    assert other.modulator.lr_scale['neck'] == 1
    assert any('no state of AGVM' in message for message in warnings())
    # The momentum of each parameter has found it: with AGVM still off, the
    # run goes on as without it, to the bit.
    ours, _ = resumed(plain, copy.deepcopy(saved), 10, begin=10**9, **options)
    expected = copy.deepcopy(plain)
    wrapper = build_wrapper(
        expected, accumulative_counts=2, type='OptimWrapper', **options)
    wrapper.load_state_dict(copy.deepcopy(saved))
    wrapper.initialize_count_status(expected, 20, UPDATES * 2)
    train(expected, wrapper, 2, range(10, UPDATES))
    assert torch.equal(weights(ours), weights(expected))


def test_resume_with_other_modules(warnings):
    model, wrapper = train_from_scratch(range(20))
    saved = copy.deepcopy(wrapper.state_dict())
    other = build_wrapper(
        copy.deepcopy(model),
        accumulative_counts=2,
        modules=dict(heads=['rpn_head', 'roi_head']))
    other.load_state_dict(copy.deepcopy(saved))
    assert other.modulator.lr_scale == dict(
        backbone=1, neck=saved['agvm']['lr_scale']['neck'], heads=1)
    assert any('heads' in message and 'rpn_head' in message
               for message in warnings())
    # Each parameter's momentum has gone with its name.
    names = dict(model.named_parameters())
    moved = dict(
        zip((n for g in other.optimizer.param_groups
             for n in g['param_names']),
            (p for g in other.optimizer.param_groups for p in g['params'])))
    for name, parameter in names.items():
        assert torch.equal(
            wrapper.optimizer.state[parameter]['momentum_buffer'],
            other.optimizer.state[moved[name]]['momentum_buffer'])


def test_state_of_another_model_is_refused():
    _, wrapper = train_from_scratch(range(1))
    state = wrapper.state_dict()
    other = torch.nn.Module()
    other.backbone = torch.nn.Linear(2, 2)
    other = build_wrapper(other)
    with pytest.raises(
            ValueError,
            match=r'no optimizer state of 2 parameters, '
            r"'backbone.weight' among them\. .*load_from"):
        other.load_state_dict(state)


# Mixed precision.  MMEngine's AmpOptimWrapper refuses to be built without a
# GPU, so the two names by which it knows one are replaced; the scaler that
# then runs is torch's own, for the CPU.  MMEngine's autocast knows bfloat16
# alone on a CPU; where results are compared, it is left out.


@pytest.fixture(name='cpu_amp')
def _cpu_amp(monkeypatch, request):
    monkeypatch.setattr(amp_module, 'is_cuda_available', lambda: True)
    if 'bfloat16' not in request.node.name:
        monkeypatch.setattr('mmengine.runner.amp.autocast',
                            lambda dtype: contextlib.nullcontext())
    monkeypatch.setattr(amp_module, 'GradScaler',
                        lambda **kwargs: torch.amp.GradScaler('cpu', **kwargs))


def amp_wrapper(model, loss_scale=1024.0, **options):
    options = dict(dict(begin=0, interval=1), **options)
    cfg = OPTIMIZERS['momentum']
    extra = {k: options.pop(k) for k in ('clip_grad', ) if k in options}
    wrapper = build_optim_wrapper(
        model,
        dict(
            type='AGVMAmpOptimWrapper',
            constructor='AGVMOptimWrapperConstructor',
            optimizer=dict(cfg),
            accumulative_counts=2,
            loss_scale=loss_scale,
            dtype='bfloat16',
            agvm=options,
            **extra))
    assert isinstance(wrapper, AGVMAmpOptimWrapper)
    wrapper.initialize_count_status(model, 0, UPDATES * 2)
    return wrapper


@pytest.mark.usefixtures('cpu_amp')
@pytest.mark.parametrize('estimator', ['replica', 'half_batch'])
@pytest.mark.parametrize('clip_grad', [None, dict(max_norm=0.1)])
def test_amp_equals_single_precision(estimator, clip_grad):
    states = []
    for amp in (True, False):
        model = ToyDetector()
        if amp:
            wrapper = amp_wrapper(
                model, estimator=estimator, clip_grad=clip_grad)
        else:
            wrapper = build_wrapper(
                model,
                accumulative_counts=2,
                begin=0,
                interval=1,
                estimator=estimator,
                clip_grad=clip_grad)
        train(model, wrapper, 2, range(20), dtype=torch.float32)
        states.append((weights(model), wrapper.state_dict()['agvm']))
    torch.testing.assert_close(states[0][0], states[1][0])
    for key in ('noise', 'signal'):
        # In units of the gradient, not of the scaled gradient.
        assert states[0][1]['noise_scale'][key] == pytest.approx(
            states[1][1]['noise_scale'][key], rel=1e-3)
    assert states[0][1]['lr_scale'] == pytest.approx(
        states[1][1]['lr_scale'], rel=1e-4)


@pytest.mark.usefixtures('cpu_amp')
@pytest.mark.parametrize('estimator', ['replica', 'half_batch'])
def test_bfloat16_autocast_is_near_single_precision(estimator):
    variances = []
    for amp in (True, False):
        model = ToyDetector()
        options = dict(begin=0, interval=1, estimator=estimator)
        wrapper = amp_wrapper(model, **options) if amp else build_wrapper(
            model, accumulative_counts=2, **options)
        train(model, wrapper, 2, range(1), dtype=torch.float32)
        variances.append({
            m:
            wrapper.message_hub.get_scalar(
                f'train/agvm/variance/{m}').current()
            for m in wrapper.modulator.modules
        })
    assert variances[0] == pytest.approx(variances[1], rel=0.05)
    assert variances[0] != variances[1]


@pytest.mark.usefixtures('cpu_amp')
def test_amp_overflow_is_neither_stepped_nor_measured():
    model = ToyDetector()
    wrapper = amp_wrapper(model, loss_scale=dict(init_scale=2.0**10))
    train(model, wrapper, 2, range(3), dtype=torch.float32)
    before = weights(model), wrapper.state_dict()['agvm']
    # One element of one module overflows on one micro-batch.
    parameter = model.roi_head.mask_head.bias
    handle = parameter.register_hook(lambda grad: grad + float('inf'))
    train(model, wrapper, 2, range(3, 4), dtype=torch.float32)
    handle.remove()
    assert torch.equal(weights(model), before[0])
    assert wrapper.state_dict()['agvm'] == before[1]
    assert wrapper.loss_scaler.get_scale() == 2.0**9
    train(model, wrapper, 2, range(4, 5), dtype=torch.float32)
    assert wrapper.state_dict()['agvm'] != before[1]


@pytest.mark.usefixtures('cpu_amp')
def test_amp_resume_is_bit_identical():

    def run(updates, state=None):
        model = ToyDetector()
        wrapper = amp_wrapper(model, loss_scale=dict(growth_interval=5))
        if state is not None:
            model.load_state_dict(state[0])
            wrapper.load_state_dict(state[1])
            wrapper.initialize_count_status(model, updates[0] * 2, 100)
        train(model, wrapper, 2, updates, dtype=torch.float32)
        return copy.deepcopy((model.state_dict(), wrapper.state_dict()))

    whole = run(range(20))
    resumed_run = run(range(8, 20), run(range(8)))
    assert whole[1]['agvm'] == resumed_run[1]['agvm']
    assert whole[1]['loss_scaler'] == resumed_run[1]['loss_scaler']
    for name, tensor in whole[0].items():
        assert torch.equal(tensor, resumed_run[0][name])
