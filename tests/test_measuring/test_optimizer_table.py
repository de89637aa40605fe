"""Steps every optimizer that is installed, and holds the table against it."""
import copy
import importlib.util
import inspect

import pytest
import torch

from agvm_mm import AGVMOptimWrapper
from agvm_mm.compat.checkpoint import check_checkpoint
from agvm_mm.measuring import optimizer_table
from agvm_mm.measuring.direction import parameters_of, update_directions
from agvm_mm.measuring.treatment import check_optimizer, treatment_of
from tests.optimizers import SINGLE, TABLE_IS_OF_IT, Stepped, installed
from tests.stack import safe_loader

INSTALLED = installed()
TREATMENTS = {
    f'{package}.{name}': treatment
    for package, treatments in optimizer_table.TABLE.items()
    for treatment, names in treatments.items() for name in names.split()
}
# Classes that their own library cannot step here, and its reason.
BROKEN = {
    'pytorch_optimizer.DeMo': 'needs einops',
    'bitsandbytes.AdEMAMix32bit': 'has no CPU kernel',
    'bitsandbytes.PagedAdEMAMix32bit': 'has no CPU kernel',
    'bitsandbytes.PytorchLARS': 'has no first step',
}
# What divides by this gradient too, with a weight that cannot be set: of a
# small gradient the step is linear. In single precision it must not be tiny.
SMALL = {
    'torch.Adagrad': 1e-6,
    'torch.Adamax': 1e-6,
    'pytorch_optimizer.AdaMax': 1e-6,
    **{f'bitsandbytes.{name}{bits}': 0.01 for name in ('Adagrad', 'RMSprop')
       for bits in ('', '8bit', '32bit')},
}  # yapf: disable
# Bases, and what is no optimizer of a user's.
NO_OPTIMIZER = {
    'pytorch_optimizer.BaseOptimizer', 'bitsandbytes.Optimizer1State',
    'bitsandbytes.Optimizer2State', 'bitsandbytes.Optimizer8bit'
}


class MyAdamW(torch.optim.AdamW):
    """A user's own."""


def of_kind(*kinds):
    """A case for every class of the table, installed or not."""
    return [
        pytest.param(
            name,
            id=name,
            marks=[
                pytest.mark.skipif(
                    name not in INSTALLED, reason='not installed')
            ] + ([pytest.mark.skip(reason=BROKEN[name])] if name in
                 BROKEN else [])) for name, treatment in TREATMENTS.items()
        if treatment.kind in kinds
    ]


def of_treatment(*treatments):
    return [
        case for case in of_kind('refused')
        if TREATMENTS[case.values[0]] in treatments
    ]


def test_every_optimizer_is_in_the_table():
    unknown = {
        name
        for name, cls in INSTALLED.items()
        if treatment_of(cls.__new__(cls)) is optimizer_table.UNKNOWN
    }
    assert unknown <= NO_OPTIMIZER
    for package in ('torch', 'pytorch_optimizer', 'dadaptation', 'prodigyopt',
                    'lion_pytorch'):
        wanted = package != 'pytorch_optimizer' or TABLE_IS_OF_IT
        if importlib.util.find_spec(package) and wanted:
            assert any(n.startswith(f'{package}.') for n in INSTALLED)


SEED = 99


def is_in_proportion(cls, steps, **options):
    """Whether 3 * lr of one module makes its step 3 times as long."""
    went = []
    for factor in (1, 3):
        stepped = Stepped(cls, steps, **options)
        stepped.optimizer.param_groups[0]['lr'] *= factor
        went.append(stepped.step(SEED))
    once, thrice = went
    # Who looks back ten steps has not begun before.
    assert steps < 10 or any(step.any() for step in once)
    half = len(once) // 2
    wanted = [3 * step for step in once[:half]] + once[half:]
    return all((found - want).norm() <= 1e-3 * want.norm()
               for found, want in zip(thrice, wanted))


def is_always_in_proportion(cls):
    lr = inspect.signature(cls).parameters.get('lr')
    options = {}
    if lr is not None and isinstance(lr.default, float):
        options['lr'] = lr.default
    # Who looks ahead does so in every fifth or sixth step, and a limit of the
    # rate may come with time.
    return (is_in_proportion(cls, 9) and is_in_proportion(cls, 11)
            and is_in_proportion(cls, 14)
            and is_in_proportion(cls, 30, **options))


@pytest.mark.parametrize('name', of_kind('exact', 'raw'))
def test_a_factor_of_3_makes_the_step_three_times_as_long(name):
    check_optimizer(Stepped(INSTALLED[name], 0).optimizer)
    assert is_always_in_proportion(INSTALLED[name])


@pytest.mark.parametrize(
    'name', of_treatment(optimizer_table.OTHER_STEP, optimizer_table.ONE_RATE))
def test_what_is_refused_for_its_step_fails_that(name):
    try:
        proportional = is_always_in_proportion(INSTALLED[name])
    except (RuntimeError, KeyError) as error:
        # D-Adaptation refuses it itself, and A2Grad's groups have no lr.
        proportional = 'lr' not in str(error)
    assert not proportional


def is_the_same_in_other_groups(name):
    """Whether nothing but rounding tells how parameters are grouped."""
    ours, theirs = (
        Stepped(INSTALLED[name], groups=groups).model.state_dict().values()
        for groups in (['a', 'b'], ['ab']))
    rounding = 1e-6 if name.startswith(SINGLE) else 1e-14
    return all(
        torch.allclose(a, b, rtol=0, atol=rounding)
        for a, b in zip(ours, theirs))


@pytest.mark.parametrize('name', of_kind('exact', 'raw'))
def test_groups_of_modules_train_as_one_group(name):
    """So that, with AGVM off, a run is the plain one."""
    assert is_the_same_in_other_groups(name)


@pytest.mark.parametrize('name', of_treatment(optimizer_table.COUPLED))
def test_what_is_refused_for_its_groups_does_not(name):
    assert not is_the_same_in_other_groups(name)


def check_state(name, folder):
    """Load the state of an optimizer as from a checkpoint."""
    path = folder / 'state.pth'
    torch.save(Stepped(INSTALLED[name]).optimizer.state_dict(), path)
    check_checkpoint(path)


@safe_loader
@pytest.mark.parametrize('name', of_kind('exact', 'raw'))
def test_a_run_can_be_resumed(name, tmp_path):
    check_state(name, tmp_path)


@pytest.mark.parametrize('name', of_kind('exact', 'raw'))
def test_its_own_state_is_taken(name):
    stepped = Stepped(INSTALLED[name])
    wrapper = AGVMOptimWrapper(
        stepped.optimizer,
        agvm=dict(modules=dict(a='a', b='b'), anchor='a'),
        model=stepped.model)
    saved = copy.deepcopy(wrapper.state_dict())
    wrapper.load_state_dict(saved)
    loaded = wrapper.state_dict()
    assert loaded['state'].keys() == saved['state'].keys()
    assert loaded['agvm'] == saved['agvm']


@safe_loader
@pytest.mark.parametrize('name', of_treatment(optimizer_table.OBJECTS))
def test_what_is_refused_for_its_objects_could_not(name, tmp_path):
    with pytest.raises(ValueError, match='can run code'):
        check_state(name, tmp_path)


def directions(stepped):
    """What AGVM compares, of the gradients that stand, in order."""
    optimizer = stepped.optimizer
    parameters = parameters_of(optimizer, ['a', 'b'], {})
    found = update_directions(
        optimizer, [(p, p.tensor.grad.to_dense()) for p in parameters])
    assert [p.tensor for p, _ in found] == [p.tensor for p in parameters]
    return torch.cat([d.double().flatten() for _, d in found])


def response(cls, scale, **options):
    """A gradient's direction, and what it changes of the step, by its size."""
    went = []
    for size in (0.0, scale):
        stepped = Stepped(cls, **options)
        if scale == 1:
            stepped.hold_moments()
        stepped.gradients(SEED)
        expected = directions(stepped)
        raw = torch.cat([
            p.grad.to_dense().double().flatten()
            for p in stepped.model.parameters()
        ])
        went.append(torch.cat([s.flatten() for s in stepped.step(SEED, size)]))
    found = (went[1] - went[0]) / scale
    # It is no other's either.
    if treatment_of(stepped.optimizer).moment is not None:
        assert spread(found, raw) > 0.1
    return expected, found


def spread(found, expected):
    ratio = found / expected
    return (ratio / ratio.median() - 1).abs().max()


@pytest.mark.parametrize('name', of_kind('exact'))
def test_the_direction_is_what_the_optimizer_makes_of_a_gradient(name):
    single = name.startswith('bitsandbytes')
    # Longer steps for who computes in single precision.
    options = dict(lr=10.0) if single else {}
    expected, found = response(INSTALLED[name], SMALL.get(name, 1.0),
                               **options)
    assert spread(found, expected) < (0.05 if single else 2e-3)


@pytest.mark.parametrize(
    ('cls', 'options'),
    [(torch.optim.AdamW, dict(amsgrad=True)),
     (torch.optim.AdamW, dict(foreach=True)),
     (torch.optim.AdamW, dict(amsgrad=True, maximize=True)),
     (torch.optim.AdamW, dict(lr=torch.tensor(0.01))),
     (torch.optim.RMSprop, dict(centered=True)),
     (torch.optim.RMSprop, dict(momentum=0.9, centered=True)),
     (torch.optim.NAdam, dict(decoupled_weight_decay=True)),
     (MyAdamW, {})])
def test_variants(cls, options):
    if 'decoupled_weight_decay' not in inspect.signature(cls).parameters and (
            'decoupled_weight_decay' in options):
        pytest.skip('torch 2.0 has no such option')
    expected, found = response(cls, 1.0, **options)
    assert spread(found, expected) < 2e-3


@pytest.mark.skipif(
    'bitsandbytes.Adam8bit' not in INSTALLED, reason='not installed')
def test_states_of_8_bits_are_unpacked():
    from bitsandbytes.functional import dequantize_blockwise

    from agvm_mm.measuring.moments import of_bitsandbytes

    parameter = torch.nn.Parameter(torch.randn(5000))
    optimizer = INSTALLED['bitsandbytes.Adam8bit']([parameter])
    for _ in range(3):
        parameter.grad = torch.randn(5000)
        optimizer.step()
    state = optimizer.state[parameter]
    assert state['state2'].dtype == torch.uint8
    moment, eps = of_bitsandbytes(state, optimizer.param_groups[0])
    assert eps == 1e-8
    assert torch.equal(
        moment,
        dequantize_blockwise(
            state['state2'],
            absmax=state['absmax2'],
            code=state['qmap2'],
            blocksize=256))


@pytest.mark.parametrize('name', of_kind('refused'))
def test_refused_optimizers_say_why(name):
    cls = INSTALLED[name]
    with pytest.raises(
            ValueError,
            match=f'AGVM cannot work with {name.partition(".")[2]}, because '):
        # Some cannot be built from parameters alone; the class tells.
        check_optimizer(cls.__new__(cls))


class NewOptimizer(torch.optim.Optimizer):

    def __init__(self, params, lr=0.1, **defaults):
        super().__init__(params, dict(lr=lr, **defaults))

    def step(self, closure=None):
        pass


class NeedsClosure(NewOptimizer):

    def step(self, closure):
        pass


class WithModes(NewOptimizer):

    def train(self):
        pass

    def eval(self):
        pass


class Wrapping(NewOptimizer):

    def __init__(self, params):
        super().__init__(params)
        self.inner = torch.optim.SGD(self.param_groups, lr=0.1)


def test_a_subclass_is_as_its_nearest_known_base():
    parameters = [torch.nn.Parameter(torch.zeros(2))]
    assert treatment_of(MyAdamW(parameters)) is optimizer_table.ADAM
    assert treatment_of(NewOptimizer(parameters)) is optimizer_table.UNKNOWN


@pytest.mark.parametrize(('cls', 'options', 'message'), [
    (NewOptimizer, dict(lr=None), "no number in 'lr'"),
    (NewOptimizer, dict(lr='auto'), "no number in 'lr'"),
    (NewOptimizer, dict(relative_step=True), 'relative_step=True ignores'),
    (NewOptimizer, dict(d0=1e-6), 'one learning rate for all groups'),
    (NeedsClosure, {}, 'evaluates the model again'),
    (WithModes, {}, r'train\(\) and eval\(\)'),
    (Wrapping, {}, 'wraps another optimizer'),
])
def test_what_an_unknown_one_shows_is_refused(cls, options, message):
    optimizer = cls([torch.nn.Parameter(torch.zeros(2))], **options)
    with pytest.raises(
            ValueError, match=f'{cls.__name__}, because.*{message}'):
        check_optimizer(optimizer)


def test_an_eps_that_is_no_number_is_refused():
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(2))])
    optimizer.param_groups[0]['eps'] = (1e-30, 1e-3)
    with pytest.raises(ValueError, match=r'optimizer.eps=\(1e-30, 0.001\)'):
        check_optimizer(optimizer)


def test_complex_parameters_are_refused():
    optimizer = torch.optim.SGD(
        [torch.nn.Parameter(torch.zeros(2, dtype=torch.complex64))], lr=0.1)
    with pytest.raises(ValueError, match=r'shape \(2,\) is torch.complex64'):
        check_optimizer(optimizer)
