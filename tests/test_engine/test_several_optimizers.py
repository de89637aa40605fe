"""A total batch of a run with several optimizers."""
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapperDict, build_optim_wrapper
from mmengine.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS, RUNNERS

from tests.commands import load
from tests.test_engine.test_runner import config
from tests.test_large_batch.test_sampler import Recorder, train_toy
from tests.toy import before_each_step


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class EachPart:
    """One optimizer wrapper for each part of the model."""

    def __init__(self, optim_wrapper_cfg, paramwise_cfg=None):
        self.cfg = optim_wrapper_cfg

    def __call__(self, model):
        model = getattr(model, 'module', model)
        return OptimWrapperDict(
            **{
                name: build_optim_wrapper(getattr(model, name), cfg)
                for name, cfg in self.cfg.items() if isinstance(cfg, dict)
            })


@MODELS.register_module()
class TwoParts(BaseModel):
    """A generator and a discriminator, in the roughest sense."""

    def __init__(self):
        super().__init__()
        self.generator = torch.nn.Linear(6, 10).double()
        self.discriminator = torch.nn.Linear(6, 10).double()

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.generator(inputs)

    def train_step(self, data, optim_wrapper):
        losses = {}
        for name in ('generator', 'discriminator'):
            outputs = getattr(self, name)(data['inputs'])
            loss = (outputs - data['data_samples']).square().mean()
            optim_wrapper[name].update_params(loss)
            losses[name] = loss
        return losses


class Steps(Recorder):

    def before_train(self, runner):
        self.lrs = {}
        for name, wrapper in runner.optim_wrapper.items():
            lrs = self.lrs[name] = []
            before_each_step(
                wrapper.optimizer,
                lambda optimizer, lrs=lrs: lrs.append(
                    optimizer.param_groups[0]['lr']))

    def after_train_iter(self, *args, **kwargs):
        pass


def test_several_optimizers(tmp_path):
    """Each steps once an update, at the rate of its own schedule."""
    seen = []
    for samples in (8, 2):
        cfg = config(tmp_path, f'several_{samples}')
        cfg.max_samples_per_gpu = samples
        cfg.model = dict(type='TwoParts')
        optimizer = cfg.optim_wrapper.optimizer
        cfg.optim_wrapper = dict(
            constructor='EachPart',
            generator=dict(optimizer=optimizer),
            discriminator=dict(optimizer=dict(optimizer, lr=0.1)))
        cfg.param_scheduler = dict(
            generator=cfg.param_scheduler, discriminator=[])
        cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=3)
        runner = RUNNERS.build(cfg)
        steps = Steps()
        runner.register_hook(steps)
        runner.train()
        seen.append(steps.lrs)
        saved = load(tmp_path / 'epoch_3.pth')
        assert saved['meta']['updates'] == 9
    assert seen[0] == seen[1]
    assert seen[0]['discriminator'] == [0.1] * 9
    assert seen[0]['generator'] == pytest.approx(
        train_toy(0, tmp_path, False, 1)[0])
