"""A toy detector: a backbone, a neck, two heads and a shared branch."""
from __future__ import annotations

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import build_optim_wrapper
from torch import nn

import agvm_mm  # noqa: F401
from agvm_mm.measuring.measurement import Measurement

SAMPLES = 8  # of one update
UPDATES = 50

OPTIMIZERS = dict(
    sgd=dict(type='SGD', lr=0.01),
    momentum=dict(type='SGD', lr=0.005, momentum=0.9, weight_decay=1e-4),
    nesterov=dict(type='SGD', lr=0.005, momentum=0.9, nesterov=True),
    adam=dict(type='Adam', lr=0.01),
    adamw=dict(type='AdamW', lr=0.01, weight_decay=0.05))


class ToyDetector(BaseModel):
    """As a detector: the RPN head runs on several levels, on one weight."""

    def __init__(self, seed=0):
        super().__init__()
        state = torch.random.get_rng_state()
        torch.manual_seed(seed)
        self.backbone = nn.Sequential(
            nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh())
        self.neck = nn.Linear(16, 8)
        self.rpn_head = nn.Linear(8, 1)
        self.roi_head = nn.Module()
        self.roi_head.bbox_head = nn.Linear(8, 4)
        self.roi_head.mask_head = nn.Linear(8, 3)
        torch.random.set_rng_state(state)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        features = self.neck(self.backbone(inputs))
        levels = [features, features * 0.5, features.tanh()]
        rpn = torch.cat([self.rpn_head(level) for level in levels], dim=1)
        out = torch.cat([
            rpn,
            self.roi_head.bbox_head(features),
            self.roi_head.mask_head(features.tanh())
        ],
                        dim=1)
        if mode == 'loss':
            return dict(loss=(out - data_samples).square().sum(1).mean())
        return out


def samples(update, dtype=torch.float64):
    """The samples of one update: inputs 8 x 6 and targets 8 x 10."""
    generator = torch.Generator().manual_seed(update)
    inputs = torch.randn(SAMPLES, 6, generator=generator, dtype=dtype)
    noise = torch.randn(SAMPLES, 10, generator=generator, dtype=dtype)
    return inputs, inputs.sum(1, keepdim=True).sin() + noise


def build_wrapper(model,
                  optimizer='momentum',
                  accumulative_counts=1,
                  type='AGVMOptimWrapper',
                  paramwise_cfg=None,
                  clip_grad=None,
                  clip_grad_range=None,
                  **agvm):
    cfg = dict(
        type=type,
        optimizer=dict(
            optimizer if isinstance(optimizer, dict) else
            OPTIMIZERS[optimizer]),
        accumulative_counts=accumulative_counts)
    if type.startswith('AGVM'):
        agvm.setdefault('begin', 3)
        agvm.setdefault('interval', 4)
        cfg.update(constructor='AGVMOptimWrapperConstructor', agvm=agvm)
        if clip_grad_range is not None:
            cfg.update(clip_grad_range=clip_grad_range)
    if clip_grad is not None:
        cfg.update(clip_grad=clip_grad)
    if paramwise_cfg is not None:
        cfg.update(paramwise_cfg=paramwise_cfg)
    return build_optim_wrapper(model, cfg)


def train_step(model, wrapper, inputs, targets):
    """One micro-batch, as MMEngine's train_step runs it."""
    with wrapper.optim_context(model):
        losses = model(inputs, data_samples=targets, mode='loss')
    wrapper.update_params(losses['loss'])


def before_each_step(optimizer, function):
    """Call ``function(optimizer)`` before each step.

    torch 2.0 and 2.1 forget hooks on a step once torch.compile was used.
    """
    step = optimizer.step

    def watched(*args, **kwargs):
        function(optimizer)
        return step(*args, **kwargs)

    optimizer.step = watched


def sums_of(wrapper, run):
    """The sums of every measurement that is finished while this runs."""
    found = []
    finish = Measurement.finish

    def recorded(measurement):
        sums = finish(measurement)
        if measurement._replicas is wrapper.replicas:
            found.append(sums)
        return sums

    Measurement.finish = recorded
    try:
        run()
    finally:
        Measurement.finish = finish
    return found


def train(model,
          wrapper,
          micro_batches,
          updates=range(UPDATES),
          rank=0,
          num_ranks=1,
          on_update=None,
          dtype=torch.float64):
    """Train on this rank's share of every update's samples."""
    share = SAMPLES // num_ranks // micro_batches
    device = next(model.parameters()).device
    for update in updates:
        inputs, targets = (t.to(device) for t in samples(update, dtype))
        for micro_batch in range(micro_batches):
            first = (rank * micro_batches + micro_batch) * share
            chosen = slice(first, first + share)
            train_step(model, wrapper, inputs[chosen], targets[chosen])
        if on_update is not None:
            on_update(update)


def needs_optimizer(options, device):
    """Skip where this torch has no such optimizer for a device."""
    options = dict(options)
    type_ = getattr(torch.optim, options.pop('type'))
    parameter = nn.Parameter(torch.ones(2, device=device))
    parameter.grad = torch.ones_like(parameter)
    try:
        type_([parameter], **options).step()
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        pytest.skip(f'torch {torch.__version__}: {error}')


def weights(model):
    """All parameters, in one vector."""
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def train_from_scratch(updates=range(UPDATES), micro_batches=2, **options):
    """A new model, trained on one process, and its wrapper."""
    model = ToyDetector().double()
    wrapper = build_wrapper(
        model, accumulative_counts=micro_batches, **options)
    wrapper.initialize_count_status(model, 0, UPDATES * micro_batches)
    train(model, wrapper, micro_batches, updates)
    return model, wrapper
