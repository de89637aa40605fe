import copy

import pytest
import torch
from mmengine.optim import LinearLR, MultiStepLR

from tests.toy import (
    OPTIMIZERS,
    UPDATES,
    ToyDetector,
    before_each_step,
    build_wrapper,
    samples,
    train,
    train_from_scratch,
    train_step,
    weights,
)


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


@pytest.mark.parametrize('paramwise_cfg', [None, dict(bias_lr_mult=2.0)])
def test_off_with_clipping_is_bit_identical(paramwise_cfg):
    # With the latter AGVM's groups are in another order than the parameters.
    settings = dict(clip_grad=dict(max_norm=0.5), paramwise_cfg=paramwise_cfg)
    ours, _ = train_from_scratch(begin=10**9, **settings)
    plain, _ = train_from_scratch(type='OptimWrapper', **settings)
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
        p: g['module']
        for g in wrapper.optimizer.param_groups
        for p in g['params']
    }
    for (name, parameter), grad in zip(model.named_parameters(), grads):
        torch.testing.assert_close(
            parameter.data,
            before[name] - 0.01 * lr_scale[module_of[parameter]] * grad)


def lrs_of_steps(wrapper, model, updates):
    """The lr of every group as each optimizer step sees it."""
    seen = []
    before_each_step(
        wrapper.optimizer, lambda optimizer: seen.append(
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
        wrapper.clock.updates), update(variance))
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
    wrapper.initialize_count_status(model, 0, 42)
    norms = []
    before_each_step(
        wrapper.optimizer, lambda _: norms.append(
            torch.cat([p.grad.flatten() for p in model.parameters()]).norm()))
    train(model, wrapper, 2, range(20))
    assert [n < 1.001e-3 for n in norms] == [5 <= u < 9 for u in range(20)]
    # Or the log would repeat the norm of update 8 to the run's end.
    assert 'train/grad_norm' not in wrapper.message_hub.log_scalars
    wrapper.optimizer.step = None
    with pytest.raises(TypeError):
        train(model, wrapper, 2, range(20, 21))
    assert wrapper.clip_grad_kwargs == dict(max_norm=1e-3)


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
    noise_scale = wrapper.modulation.noise_scale.values()
    assert noise_scale
    for module, value in noise_scale.items():
        assert scalars[f'train/agvm/noise_scale/{module}'][-1] == value
    kinds = {key.split('/')[2] for key in scalars}
    assert kinds == {
        'variance', 'lr_scale', 'noise_scale', 'num_replicas', 'skipped'
    }


def last_factors(wrapper):
    return {
        key.split('/')[-1]: buffer.current()
        for key, buffer in wrapper.message_hub.log_scalars.items()
        if 'lr_scale' in key
    }


def test_the_log_tells_where_factors_are_not_applied_any_more():
    options = dict(begin=0, interval=1)
    _, wrapper = train_from_scratch(range(5), end=5, **options)
    assert last_factors(wrapper) == wrapper.modulator.lr_scale
    model, wrapper = train_from_scratch(range(8), end=5, **options)
    ones = dict.fromkeys(wrapper.modulator.modules, 1.0)
    assert wrapper.modulator.lr_scale != last_factors(wrapper) == ones
    # MMEngine resumes what was logged with the hub.
    model, wrapper = train_from_scratch(range(5), **options)
    state, hub = wrapper.state_dict(), wrapper.message_hub.state_dict()
    heads = dict(heads=['rpn_head', 'roi_head'])
    for changed, expected in ((dict(end=4), ones), (dict(end=0), {}),
                              (dict(modules=heads), None)):
        model = ToyDetector().double()
        wrapper = build_wrapper(
            model, accumulative_counts=2, **dict(options, **changed))
        wrapper.message_hub.load_state_dict(copy.deepcopy(hub))
        wrapper.load_state_dict(copy.deepcopy(state))
        wrapper.initialize_count_status(model, 10, 2 * UPDATES)
        train(model, wrapper, 2, range(5, 7))
        assert last_factors(wrapper) == (
            wrapper.modulator.lr_scale if expected is None else expected)


def test_a_clip_grad_range_leaves_the_norms_of_other_wrappers():
    pairs = []
    for more in ({}, dict(clip_grad_range=(0, 3))):
        model = ToyDetector().double()
        pairs.append((model,
                      build_wrapper(
                          model,
                          accumulative_counts=2,
                          clip_grad=dict(max_norm=1.),
                          **more)))
    for update in range(6):
        for model, wrapper in pairs:
            train(model, wrapper, 2, [update])
    assert len(wrapper.message_hub.get_scalar('train/grad_norm').data[0]) == 2


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
    for iterations in (12, 11):  # Its last update may be short.
        wrapper.initialize_count_status(model, 0, iterations)
    assert not any('do nothing' in message for message in warnings())
    wrapper.initialize_count_status(model, 0, 10)
    assert any(
        'agvm.begin=5, but agvm.end or the end of the training is 5' in message
        for message in warnings())
