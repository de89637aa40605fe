"""An optimizer is built anew with its final groups."""
import pytest
import torch
from mmengine.optim import DefaultOptimWrapperConstructor, build_optim_wrapper

from tests.toy import ToyDetector, build_wrapper

PARAMWISE = dict(bias_lr_mult=2.0, custom_keys={'neck': dict(lr_mult=0.5)})


class PerGroup(torch.optim.SGD):
    """Makes something for each of its groups when it is built."""

    def __init__(self, params, lr, momentum=0.0, *, size=1):
        super().__init__(params, lr, momentum)
        self.size = size
        self.made = [[p.numel() for p in g['params']]
                     for g in self.param_groups]


class Constructor(DefaultOptimWrapperConstructor):
    """As a user writes one: it touches the optimizer itself."""

    touch = staticmethod(lambda optimizer: None)

    def __call__(self, model):
        wrapper = super().__call__(model)
        self.touch(wrapper.optimizer)
        return wrapper


def build(optimizer, model=None, paramwise_cfg=PARAMWISE, touch=None):
    agvm = dict(begin=0)
    if touch is not None:
        agvm['base_constructor'] = type('Own', (Constructor, ),
                                        dict(touch=staticmethod(touch)))
    return build_wrapper(
        model or ToyDetector(),
        optimizer,
        paramwise_cfg=paramwise_cfg,
        **agvm)


@pytest.mark.parametrize('paramwise_cfg', [None, PARAMWISE])
def test_what_is_made_for_each_group_is_made_for_the_final_ones(paramwise_cfg):
    optimizer = build(
        dict(type=PerGroup, lr=0.1, momentum=0.9, size=7),
        paramwise_cfg=paramwise_cfg).optimizer
    assert optimizer.made == [[p.numel() for p in g['params']]
                              for g in optimizer.param_groups]
    assert len(optimizer.made) == (5 if paramwise_cfg is None else 9)
    assert optimizer.size == 7  # an option that is in no group
    assert optimizer.defaults['momentum'] == 0.9


def test_state_that_is_made_at_once_is_there():
    model = ToyDetector()
    optimizer = build(
        dict(type='Adagrad', lr=0.1, initial_accumulator_value=3.0),
        model).optimizer
    assert set(optimizer.state) == set(model.parameters())
    assert all((s['sum'] == 3).all() for s in optimizer.state.values())


def test_a_constructor_may_build_another_class():

    class Own(DefaultOptimWrapperConstructor):

        def __call__(self, model):
            self.optimizer_cfg = dict(type='Adam', lr=0.3, betas=(0.8, 0.9))
            return super().__call__(model)

    optimizer = build_optim_wrapper(
        ToyDetector(),
        dict(
            type='AGVMOptimWrapper',
            constructor='AGVMOptimWrapperConstructor',
            optimizer=dict(type='SGD', lr=0.1, momentum=0.9),
            agvm=dict(begin=0, base_constructor=Own))).optimizer
    assert type(optimizer) is torch.optim.Adam
    assert len(optimizer.param_groups) == 5
    for settings in (optimizer.defaults, *optimizer.param_groups):
        assert settings['betas'] == (0.8, 0.9)
        assert settings['lr'] == 0.3


def leave_a_hook(optimizer):
    optimizer.register_step_pre_hook(lambda *args: None)


def leave_an_attribute(optimizer):
    optimizer.schedule = 'mine'


@pytest.mark.parametrize(('touch', 'what'), [
    (leave_a_hook, '_optimizer_step_pre_hooks'),
    (leave_an_attribute, 'schedule'),
])
def test_what_a_constructor_leaves_on_the_optimizer_is_told(
        touch, what, warnings):
    build(dict(type='SGD', lr=0.1), touch=touch)
    told, = (w for w in warnings() if 'not there any more' in w)
    assert what in told


def test_nothing_left_nothing_told(warnings):
    for type in ('SGD', 'AdamW', 'Adagrad', 'RMSprop'):
        build(dict(type=type, lr=0.1), touch=lambda optimizer: None)
    assert not warnings()


class Stubborn(torch.optim.SGD):

    def __init__(self, params, lr):
        params = list(params)
        if params and isinstance(params[0], dict):
            raise TypeError('no groups, please')
        super().__init__(params, lr)


def test_a_class_that_takes_no_groups_is_one_clear_error():
    with pytest.raises(
            ValueError, match=r'Stubborn with a group .*no groups, please'):
        build(dict(type=Stubborn, lr=0.1), paramwise_cfg=None)


def test_rates_that_are_tensors_stay_apart():
    optimizer = build(
        dict(type='AdamW', lr=torch.tensor(0.1)), paramwise_cfg=None).optimizer
    rates = {id(group['lr']) for group in optimizer.param_groups}
    assert len(rates) == len(optimizer.param_groups)
    assert all(isinstance(g['lr'], torch.Tensor) for g in
               optimizer.param_groups)  # yapf: disable


def test_the_first_argument_may_have_another_name():

    class Hybrid(torch.optim.SGD):

        def __init__(self, model_params, lr, **options):
            super().__init__(model_params, lr, **options)

    optimizer = build(dict(type=Hybrid, lr=0.1, momentum=0.5)).optimizer
    assert all(g['momentum'] == 0.5 for g in optimizer.param_groups)
