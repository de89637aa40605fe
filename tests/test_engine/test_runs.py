"""AGVM under MMEngine's own runners: refused, resumed, validated."""
import os
from pathlib import Path

import pytest
import torch
from mmengine.dist import get_world_size
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapperDict, build_optim_wrapper
from mmengine.registry import METRICS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.runner import FlexibleRunner, Runner

from agvm_mm.recovery.resumable import check_resume
from tests.distributed import run_ranks
from tests.stack import fsdp
from tests.test_large_batch.test_sampler import (
    DoubleToyDetector,
    toy_config,
)

RUNNERS = dict(plain=Runner, flexible=FlexibleRunner)


class Measured(Hook):
    """The updates that were measured, and what they told."""

    def __init__(self):
        self.found = {}

    def after_train_iter(self, runner, *args, **kwargs):
        wrapper = runner.optim_wrapper
        sums = wrapper.modulation._sums
        if sums is not None:
            self.found[wrapper.clock.updates - 1] = (
                sums.num_samples, sums.sum_sq.tolist())
            wrapper.modulation._sums = None


def config(work_dir, runner, name, iterations, accumulation=1, **more):
    cfg = toy_config(work_dir, by_iteration=True)
    cfg.train_dataloader.batch_size = 4
    cfg.custom_hooks = []
    cfg.pop('total_batch_size')
    cfg.train_cfg.max_iters = iterations
    cfg.param_scheduler = None
    cfg.optim_wrapper.accumulative_counts = accumulation
    cfg.optim_wrapper.agvm = dict(begin=3, interval=5)
    cfg.default_hooks = dict(
        checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=16))
    cfg.env_cfg = dict(dist_cfg=dict(backend='gloo'))
    cfg.experiment_name = f'{Path(work_dir).name}_{runner}_{name}'
    cfg.visualizer = dict(type='Visualizer', name=cfg.experiment_name)
    cfg.merge_from_dict(more)
    if get_world_size() > 1:
        cfg.launcher = 'pytorch'
        if runner == 'plain':
            cfg.model_wrapper_cfg = dict(type='CPUDistributedDataParallel')
        else:
            cfg.strategy = dict(
                type='DDPStrategy',
                model_wrapper=dict(type='CPUDistributedDataParallel'))
    return cfg


def run(runner, cfg):
    built = RUNNERS[runner].from_cfg(cfg)
    measured = Measured()
    built.register_hook(measured)
    built.train()
    return built, measured.found


@pytest.mark.parametrize('runner', RUNNERS)
def test_one_replica_is_refused_before_the_first_forward_pass(
        runner, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(DoubleToyDetector, 'forward',
                        lambda *args, **kwargs: calls.append(1))
    with pytest.raises(ValueError, match='has a single one'):
        run(runner, config(tmp_path, runner, 'one', 4))
    assert not calls


def cut_and_resumed(rank, work_dir, runner, accumulation, agvm=True):
    """Iterations 0 to 16, then 16 to 24 by a new runner."""
    os.environ['LOCAL_RANK'] = str(rank)
    first = {} if agvm else {
        'optim_wrapper.type': 'OptimWrapper',
        'optim_wrapper.constructor': 'DefaultOptimWrapperConstructor'
    }
    cfg = config(work_dir, runner, 'cut', 16, accumulation, **first)
    if not agvm:
        cfg.optim_wrapper.pop('agvm')
        RUNNERS[runner].from_cfg(cfg).train()
        found = {}
    else:
        _, found = run(runner, cfg)
    cfg = config(work_dir, runner, 'resumed', 24, accumulation, resume=True)
    built, more = run(runner, cfg)
    assert built.optim_wrapper.clock.updates == 24 // accumulation
    return found, more


def uncut(rank, work_dir, accumulation):
    os.environ['LOCAL_RANK'] = str(rank)
    return run('plain', config(work_dir, 'plain', 'whole', 24,
                               accumulation))[1]


def both(rank, folder, accumulation):
    return uncut(rank, folder / 'whole', accumulation), {
        runner: cut_and_resumed(rank, folder / runner, runner, accumulation)
        for runner in RUNNERS
    }


@pytest.mark.parametrize(('num_ranks', 'accumulation'), [(2, 1), (1, 2)])
def test_every_runner_resumes_where_it_was(num_ranks, accumulation, tmp_path):
    whole, cut = run_ranks(both, num_ranks, tmp_path, accumulation)[0]
    last = 24 // accumulation
    assert list(whole) == list(range(3, last, 5))
    for runner in RUNNERS:
        before, after = cut[runner]
        assert list(before) + list(after) == list(whole)
        # Up to the cut the images are the same, whichever runner it is.
        for update, sums in before.items():
            assert sums[0] == whole[update][0] == 8
            assert sums[1] == pytest.approx(whole[update][1])
    # After it the two runners read the same images from the start.
    for update, sums in cut['plain'][1].items():
        theirs = cut['flexible'][1][update]
        assert theirs[0] == sums[0]
        assert theirs[1] == pytest.approx(sums[1])


def from_a_plain_run(rank, folder):
    return {
        runner: cut_and_resumed(rank, folder / runner, runner, 1, agvm=False)
        for runner in RUNNERS
    }


def test_a_run_without_agvm_is_resumed_at_its_iteration(tmp_path):
    for _, after in run_ranks(from_a_plain_run, 2, tmp_path)[0].values():
        assert list(after) == [18, 23]


@METRICS.register_module()
class CountsImages(BaseMetric):

    def process(self, data_batch, data_samples):
        self.results += [1] * len(data_batch['inputs'])

    def compute_metrics(self, results):
        return dict(images=len(results))


@MODELS.register_module()
class Predicts(DoubleToyDetector):

    def forward(self, inputs, data_samples=None, mode='tensor'):
        out = super().forward(inputs, data_samples, mode)
        return [out] if mode == 'predict' else out


def validated(rank, work_dir, sharded, validate):
    """Validate after every iteration, so right after a measured one."""
    os.environ['LOCAL_RANK'] = str(rank)
    runner = 'flexible' if sharded else 'plain'
    cfg = config(work_dir, runner, f'val_{validate}', 8)
    cfg.model.type = 'Predicts'
    if sharded:
        cfg.strategy = dict(
            type='AGVMFSDPStrategy',
            state_dict_cfg='full',
            model_wrapper=dict(
                auto_wrap_policy=dict(type='wrap_classes',
                                      classes=['Linear'])))
        cfg.default_hooks = dict(checkpoint=None)
    if validate:
        cfg.train_cfg.val_interval = 1
        cfg.val_cfg = dict()
        cfg.val_dataloader = dict(
            cfg.train_dataloader,
            batch_size=7,
            sampler=dict(type='DefaultSampler', shuffle=False))
        cfg.val_evaluator = dict(type='CountsImages')
    built, found = run(runner, cfg)
    return found, built.optim_wrapper.modulation.noise_scale.values()


def validated_or_not(rank, folder, sharded):
    return [
        validated(rank, folder / str(validate), sharded, validate)
        for validate in (True, False)
    ]


@pytest.mark.parametrize('sharded', [
    pytest.param(False, id='ddp'),
    pytest.param(True, id='fsdp', marks=fsdp),
])
def test_a_validation_counts_no_samples(sharded, tmp_path):
    (found, scale), (expected, expected_scale) = run_ranks(
        validated_or_not, 2, tmp_path, sharded)[0]
    assert found == expected
    assert {samples for samples, _ in found.values()} == {8}
    assert scale == expected_scale
    assert scale


@MODELS.register_module()
class ToyGAN(BaseModel):
    """Two models, each with an optimizer; the second steps twice."""

    def __init__(self):
        super().__init__()
        self.generator = DoubleToyDetector()
        self.discriminator = DoubleToyDetector()

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.generator(inputs, data_samples, mode)

    def train_step(self, data, optim_wrapper):
        data = self.data_preprocessor(data, True)
        logs = {}
        for name, steps in (('generator', 1), ('discriminator', 2)):
            wrapper, model = optim_wrapper[name], getattr(self, name)
            for _ in range(steps):
                with wrapper.optim_context(model):
                    loss = model(**data, mode='loss')['loss']
                wrapper.update_params(loss)
            logs[name] = loss.detach()
        return dict(loss=sum(logs.values()), **logs)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GANConstructor:

    def __init__(self, optim_wrapper_cfg, paramwise_cfg=None):
        self.cfg = optim_wrapper_cfg

    def __call__(self, model):
        if hasattr(model, 'module'):
            model = model.module
        return OptimWrapperDict(
            **{
                name: build_optim_wrapper(getattr(model, name), dict(cfg))
                for name, cfg in self.cfg.items()
            })


def gan_config(work_dir, runner, name, iterations, accumulation, **more):
    cfg = config(work_dir, runner, name, iterations, **more)
    cfg.model.type = 'ToyGAN'
    child = dict(cfg.optim_wrapper, accumulative_counts=accumulation)
    cfg.optim_wrapper = dict(
        constructor='GANConstructor',
        generator=child,
        discriminator=dict(child, agvm=dict(begin=2, interval=7)))
    return cfg


class MeasuredByChild(Hook):

    def before_train(self, runner):
        self.found = {name: [] for name in dict(runner.optim_wrapper.items())}
        for name, wrapper in runner.optim_wrapper.items():
            take = wrapper.modulation.take

            def taken(*args, take=take, wrapper=wrapper, name=name):
                self.found[name].append(wrapper.clock.updates)
                take(*args)

            wrapper.modulation.take = taken


def run_gan(runner, cfg):
    built = RUNNERS[runner].from_cfg(cfg)
    measured = MeasuredByChild()
    built.register_hook(measured)
    built.train()
    return built, measured.found


@pytest.mark.parametrize('runner', RUNNERS)
def test_every_child_of_several_wrappers_knows_its_update(runner, tmp_path):
    built, before = run_gan(runner,
                            gan_config(tmp_path, runner, 'cut', 16, 2))
    # Iterations are micro-batches of the generator: 8 updates of it, 16 of
    # the discriminator, whose two calls an iteration are one update.
    assert before == dict(generator=[3], discriminator=[2, 9])
    names = {
        key.split('/', 3)[3]
        for key in built.message_hub.log_scalars
        if key.startswith('train/agvm/variance/')
    }
    modules = built.optim_wrapper['generator'].modulator.modules
    assert names == {
        f'{child}.{module}'
        for child in before for module in modules
    }
    for child in before:
        key = f'train/agvm/num_replicas/{child}'
        assert built.message_hub.get_scalar(key).current() == 2
    with pytest.raises(ValueError, match='was written with AGVM'):
        check_resume(tmp_path / 'iter_16.pth', with_agvm=False)
    _, after = run_gan(
        runner, gan_config(tmp_path, runner, 'on', 32, 2, resume=True))
    assert after == dict(generator=[8, 13], discriminator=[16, 23, 30])


@pytest.mark.parametrize('runner', RUNNERS)
def test_a_child_with_one_replica_is_refused(runner, tmp_path):
    with pytest.raises(ValueError, match='has a single one'):
        run_gan(runner, gan_config(tmp_path, runner, 'one', 4, 1))


@MODELS.register_module()
class SeparateToy(DoubleToyDetector):
    """Its children are wrapped by DDP, one by one."""

    def __init__(self):
        super().__init__()
        # MMEngine wraps the children of the model, not theirs.
        self.roi_head = torch.nn.Sequential(self.roi_head.bbox_head)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        out = self.roi_head(self.neck(self.backbone(inputs)))
        out = out.sum(1) + self.rpn_head(self.neck(
            self.backbone(inputs))).sum(1)
        return dict(loss=(out - data_samples[:, 0]).square().mean())

    def train_step(self, data, optim_wrapper):
        data = self.data_preprocessor(data, True)
        with optim_wrapper.optim_context(self.backbone):
            loss = self(**data, mode='loss')['loss']
        optim_wrapper.update_params(loss)
        return dict(loss=loss.detach())


def separate(rank, work_dir):
    os.environ['LOCAL_RANK'] = str(rank)
    cfg = config(work_dir, 'plain', 'separate', 8)
    cfg.model.type = 'SeparateToy'
    cfg.model_wrapper_cfg = dict(
        type='MMSeparateDistributedDataParallel', device_ids=None)
    built, found = run('plain', cfg)
    return (list(found), built.optim_wrapper.modulator.lr_scale,
            built.optim_wrapper.groups.layout())


def test_children_that_ddp_wraps_one_by_one(tmp_path):
    """Their names are those of the model, without the wrappers' own."""
    (updates, lr_scale, layout), other = run_ranks(separate, 2, tmp_path)
    assert updates == [3]
    assert lr_scale == other[1]
    assert list(lr_scale) == ['backbone', 'neck', 'rpn_head', 'roi_head.0']
    assert lr_scale['neck'] != 1
    assert not any('module' in name for names in layout for name in names)
