"""Real models of mmdet and mmseg, with real losses, in several precisions.

mmcv's own operators are CUDA's there, if it was built with them.
"""
import math

import pytest
from command_line.mixed_precision import use_mixed_precision
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS

from tests.amp import needs_autocast
from tests.commands import FASTER, SEMANTIC

from .memory import held

UPDATES = 8
OVERFLOW = 5  # an update that is measured
SCALE = 2.0**8


class Watch(Hook):
    """Remembers what each update was like, and spoils one of them."""

    priority = 'VERY_LOW'

    def __init__(self, spoils, device):
        self.spoils = spoils
        self.device = device
        self.losses, self.updates = [], []
        self.handle = None

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        wrapper = runner.optim_wrapper
        if self.spoils and wrapper.clock.updates == OVERFLOW:
            if self.handle is None:
                parameter = list(runner.model.parameters())[-1]
                self.handle = parameter.register_hook(
                    lambda grad: grad + float('inf'))
        elif self.handle is not None:
            self.handle.remove()
            self.handle = None

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        wrapper = runner.optim_wrapper
        self.losses.append(outputs['loss'].item())
        if wrapper.clock.updates == len(self.updates):
            return  # within an update
        scaler = getattr(wrapper, 'loss_scaler', None)
        state = wrapper.state_dict()['agvm']
        self.updates.append(
            dict(
                lr_scale=dict(state['lr_scale']),
                skipped=state['skipped'],
                loss_scale=scaler.get_scale() if scaler else None,
                held=held(self.device)))


def train(config, dtype, digits, work_dir, device):
    """Train by MMEngine's own runner; return what was seen, and the wrapper.
    """
    cfg = Config.fromfile(config)
    name = f'{work_dir.name}_{dtype}'
    by_epoch = cfg.train_cfg.type == 'EpochBasedTrainLoop'
    cfg.merge_from_dict(
        dict(
            work_dir=str(work_dir),
            total_batch_size=4,
            train_dataloader=dict(
                batch_size=2,
                dataset=dict(data_root=digits),
                sampler=dict(
                    type='DefaultSampler' if by_epoch else 'InfiniteSampler')),
            optim_wrapper=dict(
                agvm=dict(begin=1, interval=2),
                optimizer=dict(lr=0.01)),
            log_level='ERROR',
            experiment_name=name,
            randomness=dict(seed=0)))
    # Of 16 images.
    cfg.train_cfg.update(
        dict(max_epochs=UPDATES // 4) if by_epoch else dict(
            max_iters=UPDATES))
    for part in ('val', 'test'):
        for key in ('cfg', 'dataloader', 'evaluator'):
            cfg[f'{part}_{key}'] = None
    cfg.param_scheduler = None
    cfg.visualizer = dict(type='Visualizer', name=name, vis_backends=[])
    cfg.default_hooks.pop('visualization', None)
    if dtype != 'float32':
        use_mixed_precision(cfg)
        cfg.optim_wrapper.update(
            dtype=dtype, loss_scale=dict(init_scale=SCALE))
    runner = RUNNERS.build(cfg)
    watch = Watch(dtype != 'float32', device)
    runner.register_hook(watch)
    runner.train()
    return watch, runner.optim_wrapper


@pytest.mark.parametrize(('config', 'dtype'), [
    pytest.param(FASTER, 'float32', id='Faster R-CNN, float32'),
    pytest.param(FASTER, 'float16', id='Faster R-CNN, float16'),
    pytest.param(SEMANTIC, 'bfloat16', id='semantic FPN, bfloat16'),
])
def test_a_model_trains(config, dtype, digits, tmp_path, device, request):
    if dtype != 'float32':
        request.getfixturevalue('amp')
        needs_autocast(device, dtype)
    if (device, dtype) == ('cpu', 'float16'):
        pytest.skip("on a CPU mmcv's nms takes no half precision")
    watch, wrapper = train(config, dtype, digits, tmp_path, device)
    assert len(watch.losses) == 2 * UPDATES
    assert all(map(math.isfinite, watch.losses))
    assert min(watch.losses[UPDATES:]) < watch.losses[0]

    # Measured in the updates 1, 3, 5 and 7; of these the overflow is skipped.
    updates = watch.updates
    spoilt = [OVERFLOW] if watch.spoils else []
    for number in range(1, UPDATES):
        before, after = updates[number - 1:number + 1]
        measured = number % 2 == 1 and number not in spoilt
        assert (after['lr_scale'] != before['lr_scale']) == measured, number
        assert after['skipped'] - before['skipped'] == (number in spoilt)
    if spoilt:
        assert [u['loss_scale'] for u in updates] == [
            SCALE / 2 if number >= OVERFLOW else SCALE
            for number in range(UPDATES)
        ]
    scalars = wrapper.message_hub.log_scalars
    for module in wrapper.modulator.modules:
        assert 0 < scalars[f'train/agvm/variance/{module}'].current() < 2
    assert scalars['train/agvm/num_replicas'].current() == 2

    assert updates[-1]['held'] == pytest.approx(updates[2]['held'], rel=0.01)
