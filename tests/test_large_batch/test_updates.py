"""Hooks under accumulation do what they do without, in real runs."""
import pytest
import torch
from mmengine.hooks import EMAHook
from mmengine.model import (
    BaseAveragedModel,
    BaseModel,
    ExponentialMovingAverage,
)
from mmengine.optim import OptimWrapperDict, build_optim_wrapper
from mmengine.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.runner import FlexibleRunner, Runner
from torch import nn

from agvm_mm import TotalBatchFlexibleRunner, TotalBatchRunner
from agvm_mm.large_batch import resolve
from tests.test_large_batch.test_sampler import toy_config

SGD = dict(type='SGD', lr=0.05, momentum=0.9)


@MODELS.register_module()
class CountingAverage(ExponentialMovingAverage):
    """A user's own, which counts its steps in a way that nobody knows."""

    def avg_func(self, averaged_param, source_param, steps):
        averaged_param.lerp_(source_param, 1 / (2 + int(steps))**0.5)


def averages(registry=MODELS):
    """The averages of weights in a registry and its children, by name."""
    found = {
        f'{registry.scope}.{name}': kind
        for name, kind in registry.module_dict.items()
        if isinstance(kind, type) and issubclass(kind, BaseAveragedModel)
    }
    for child in registry.children.values():
        found.update(averages(child))
    return found


def options_of(name):
    """Settings of an average in which a handful of updates shows a count."""
    pytest.importorskip('mmdet.models') if name.startswith('mmdet') else None
    if 'Stochastic' in name:
        return {}
    options = dict(momentum=0.02)
    return options if 'Annealing' not in name and 'ExpMomentum' not in name \
        else dict(options, gamma=4)


AVERAGES = [
    'mmengine.StochasticWeightAverage', 'mmengine.ExponentialMovingAverage',
    'mmengine.MomentumAnnealingEMA', 'mmdet.ExpMomentumEMA',
    'mmengine.CountingAverage'
]


@MODELS.register_module()
class MeanTeacher(BaseModel):
    """A student and its teacher, of nothing but weights."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.student = nn.Linear(6, 10).double()
        self.teacher = nn.Linear(6, 10).double().requires_grad_(False)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        out = self.student(inputs)
        return dict(loss=(out - data_samples).square().sum(1).mean())


@MODELS.register_module()
class TwoStudents(MeanTeacher):
    """Each part has its own loss, and its own optimizer."""

    def train_step(self, data, optim_wrapper):
        losses = {}
        for name, wrapper in optim_wrapper.items():
            with wrapper.optim_context(self):
                out = getattr(self, name)(data['inputs'])
                loss = (out - data['data_samples']).square().sum(1).mean()
            wrapper.update_params(loss)
            losses[f'loss_{name}'] = loss.detach()
        return losses


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class OnePerPart:
    """As a user builds an OptimWrapperDict."""

    def __init__(self, optim_wrapper_cfg, paramwise_cfg=None):
        self.cfg = optim_wrapper_cfg

    def __call__(self, model):
        model.teacher.requires_grad_(True)
        return OptimWrapperDict(
            **{
                name: build_optim_wrapper(getattr(model, name), dict(cfg))
                for name, cfg in self.cfg.items()
            })


def config(work_dir, by_iteration, *hooks, **more):
    """8 images an update, in the same order in every run; plain MMEngine."""
    cfg = toy_config(work_dir, by_iteration)
    cfg.env_cfg = {}
    if 'default_hooks' in more:
        cfg.default_hooks = {}
    cfg.merge_from_dict(
        dict(
            optim_wrapper=dict(_delete_=True, optimizer=SGD),
            train_dataloader=dict(batch_size=8, num_batch_per_epoch=2),
            custom_hooks=list(hooks),
            **more))
    cfg.train_dataloader.sampler.shuffle = False
    if by_iteration:
        cfg.train_dataloader.pop('num_batch_per_epoch')
    return cfg


def train(cfg, name, samples=None, runner_type=Runner):
    """The runner after its training; without samples, as MMEngine runs it."""
    if samples is not None:
        cfg.max_samples_per_gpu = samples
        cfg = resolve(cfg, 1)
        wrapper = cfg.optim_wrapper.get('student', cfg.optim_wrapper)
        assert wrapper.accumulative_counts == 8 // samples
    cfg.experiment_name = f'{cfg.work_dir}_{name}'.replace('/', '_')
    cfg.visualizer = dict(type='Visualizer', name=cfg.experiment_name)
    runner = runner_type.from_cfg(cfg)
    runner.train()
    return runner


def state(runner):
    """The weights, and their averages if there is a hook that keeps them."""
    model = {k: v.clone() for k, v in runner.model.state_dict().items()}
    for hook in runner.hooks:
        if isinstance(hook, EMAHook):
            model.update({
                f'ema.{k}': v.clone()
                for k, v in hook.ema_model.state_dict().items()
                # Of iterations or of updates: what it makes of them counts.
                if k != 'steps'
            })
    return model


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        torch.testing.assert_close(
            value, theirs[key], rtol=1e-9, atol=1e-11, msg=key)


@pytest.mark.parametrize('by_iteration', [False, True],
                         ids=['epochs', 'iters'])
@pytest.mark.parametrize('name', AVERAGES)
def test_averages_are_those_without_accumulation(name, by_iteration,
                                                 tmp_path):
    hook = dict(
        type='EMAHook', ema_type=name, interval=2, **options_of(name))
    hook.update(dict(begin_iter=2) if by_iteration else dict(begin_epoch=2))
    plain = state(train(config(tmp_path, by_iteration, hook), 'plain'))
    key = 'backbone.0.weight'
    assert not torch.allclose(plain[key], plain[f'ema.module.{key}'])
    for samples in (8, 2):
        assert_same(
            state(train(config(tmp_path, by_iteration, hook), f'{samples}',
                        samples)), plain)


def test_every_average_is_tried():
    pytest.importorskip('mmdet.models')
    assert sorted(averages()) == sorted(AVERAGES)


@pytest.mark.parametrize(
    ('first', 'second', 'runner_type'),
    [(8, 2, TotalBatchRunner), (2, 4, TotalBatchRunner),
     (2, 4, TotalBatchFlexibleRunner)])
@pytest.mark.parametrize('name', AVERAGES)
def test_averages_go_on_with_another_accumulation(name, first, second,
                                                  runner_type, tmp_path):
    hook = dict(type='EMAHook', ema_type=name, interval=3, **options_of(name))
    checkpoint = dict(
        type='CheckpointHook', by_epoch=False, interval=5, save_last=False)
    hooks = dict(default_hooks=dict(checkpoint=checkpoint))
    plain = state(train(config(tmp_path, True, hook), 'plain'))
    train(config(tmp_path, True, hook, **hooks), 'first', first)
    saved = tmp_path / f'iter_{5 * 8 // first}.pth'
    ours = train(
        config(
            tmp_path, True, hook, resume=True, load_from=str(saved)),
        'second',
        second,
        runner_type=runner_type)
    assert_same(state(ours), plain)


@pytest.mark.parametrize('more', [
    dict(interval=1),
    dict(interval=2, skip_buffer=False),
])
def test_teachers_move_once_an_update(more, tmp_path):
    pytest.importorskip('mmdet.engine.hooks')
    hook = dict(type='mmdet.MeanTeacherHook', momentum=0.1, **more)
    model = dict(model=dict(_delete_=True, type='MeanTeacher'))
    plain = state(train(config(tmp_path, True, hook, **model), 'plain'))
    ours = state(train(config(tmp_path, True, hook, **model), 'ours', 2))
    assert_same(ours, plain)
    assert not torch.equal(ours['teacher.weight'], ours['student.weight'])


def test_the_flexible_runner(tmp_path):
    hook = dict(
        type='EMAHook', ema_type='MomentumAnnealingEMA', gamma=4)
    plain = state(
        train(
            config(tmp_path, True, hook), 'plain', runner_type=FlexibleRunner))
    ours = state(
        train(
            config(tmp_path, True, hook), 'ours', 2,
            runner_type=FlexibleRunner))
    assert_same(ours, plain)


def test_several_optimizers(tmp_path):
    hook = dict(
        type='EMAHook', ema_type='MomentumAnnealingEMA', gamma=4)

    def several():
        model = dict(_delete_=True, type='TwoStudents')
        cfg = config(tmp_path, True, hook, model=model)
        cfg.optim_wrapper = dict(
            constructor='OnePerPart',
            student=dict(optimizer=SGD),
            teacher=dict(optimizer=dict(type='SGD', lr=0.01)))
        return cfg

    plain = state(train(several(), 'plain'))
    assert_same(state(train(several(), 'ours', 2)), plain)
