"""Trainings of other libraries' models, by their own configs and data sets.

A slow suite: bash tools/run_tests.sh --zoo
"""
import json
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.hub import get_config
from mmengine.runner import Runner

from .data import write_classes, write_poses, write_videos
from .zoo import complete_mmaction, folder_of

BATCH, ACCUMULATION = 2, 2
UPDATES_PER_EPOCH = 8 // (BATCH * ACCUMULATION)


class Watch(Hook):
    """What was found at the first iteration, and samples of each update."""

    def __init__(self):
        self.start, self.samples = None, []

    def before_train_iter(self, runner, *args, **kwargs):
        if self.start is None:
            self.start = runner.optim_wrapper.state_dict()['agvm']

    def after_train_iter(self, runner, *args, **kwargs):
        modulation = runner.optim_wrapper.modulation
        if modulation._sums is not None:
            self.samples.append(modulation._sums.num_samples)
            modulation._sums = None


def classifier(data):
    write_classes(Path(data))
    cfg = get_config('mmpretrain::resnet/resnet18_8xb32_in1k.py')
    cfg.train_dataloader.dataset.update(type='CustomDataset', data_root=data)
    cfg.train_dataloader.dataset.pop('split')
    return cfg


def contrastive(data):
    """Two views of each image, and no label."""
    write_classes(Path(data))
    cfg = get_config(
        'mmpretrain::simclr/simclr_resnet50_16xb256-coslr-200e_in1k.py')
    cfg.model.backbone.update(depth=18)
    cfg.model.neck.update(in_channels=512, hid_channels=64, out_channels=16)
    cfg.train_dataloader.dataset.update(type='CustomDataset', data_root=data)
    cfg.train_dataloader.dataset.pop('split', None)
    return cfg


def pose(data):
    write_poses(Path(data))
    cfg = get_config('mmpose::body_2d_keypoint/topdown_heatmap/coco/'
                     'td-hm_res50_8xb64-210e_coco-256x192.py')
    cfg.model.backbone.update(depth=18)
    cfg.model.head.update(in_channels=512, deconv_out_channels=(32, 32, 32))
    cfg.train_dataloader.dataset.update(
        data_root=data, ann_file='poses.json', data_prefix=dict(img=''))
    return cfg


def action(data):
    write_videos(Path(data))
    cfg = get_config('mmaction::recognition/tsn/'
                     'tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_'
                     'kinetics400-rgb.py')
    cfg.model.backbone.update(depth=18, pretrained=None)
    cfg.model.cls_head.update(in_channels=512)
    dataset = cfg.train_dataloader.dataset
    dataset.update(
        type='RawframeDataset',
        ann_file=f'{data}/videos.txt',
        data_prefix=dict(img=data))
    # Frames in place of a video's decoder.
    dataset.pipeline = [
        dict(step, type='RawFrameDecode')
        if step.type == 'DecordDecode' else step for step in dataset.pipeline
        if step.type != 'DecordInit'
    ]
    return cfg


MODELS = dict(
    classifier=(classifier, 'mmpretrain'),
    contrastive=(contrastive, 'mmpretrain'),
    pose=(pose, 'mmpose'),
    action=(action, 'mmaction'))


def train(build, tmp_path, epochs, resume=False):
    cfg = build(str(tmp_path / 'data'))
    cfg.model.backbone.pop('init_cfg', None)
    cfg.work_dir = str(tmp_path / 'run')
    cfg.train_dataloader.update(
        batch_size=BATCH, num_workers=0, persistent_workers=False)
    cfg.train_cfg = dict(by_epoch=True, max_epochs=epochs)
    for stage in ('val', 'test'):
        for key in ('cfg', 'dataloader', 'evaluator'):
            cfg.pop(f'{stage}_{key}', None)
    cfg.optim_wrapper.optimizer.lr = 0.01  # for four samples
    cfg.optim_wrapper.update(
        type='AGVMOptimWrapper',
        constructor='AGVMOptimWrapperConstructor',
        accumulative_counts=ACCUMULATION,
        # The first step of Adam has no second moment to divide by.
        agvm=dict(begin=1, interval=1))
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1)
    cfg.default_hooks.logger = dict(type='LoggerHook', interval=1)
    cfg.pop('auto_scale_lr', None)
    cfg.experiment_name = f'{tmp_path.name}_{epochs}'
    cfg.visualizer.name = cfg.experiment_name
    cfg.randomness = dict(seed=0)
    cfg.resume = resume
    watch = Watch()
    runner = Runner.from_cfg(cfg)
    runner.register_hook(watch)
    runner.train()
    return runner, watch


@pytest.mark.zoo
@pytest.mark.parametrize('model', MODELS)
def test_a_model_trains_and_resumes(model, tmp_path):
    build, host = MODELS[model]
    if folder_of(host) is None:
        pytest.skip(f'{host} is not installed')
    complete_mmaction()
    _, first = train(build, tmp_path, epochs=2)
    saved = torch.load(
        tmp_path / 'run/epoch_2.pth', map_location='cpu', weights_only=False)
    state = saved['optimizer']['agvm']
    assert state['updates'] == 2 * UPDATES_PER_EPOCH
    factors = dict(state['lr_scale'])
    assert factors.pop('backbone') == 1
    assert all(factor not in (1, 0) for factor in factors.values()), factors

    runner, second = train(build, tmp_path, epochs=3, resume=True)
    assert second.start['updates'] == state['updates']
    assert second.start['lr_scale'] == state['lr_scale']
    assert runner.optim_wrapper.clock.updates == 3 * UPDATES_PER_EPOCH
    measured = [*first.samples, *second.samples]
    assert measured == [BATCH * ACCUMULATION] * (3 * UPDATES_PER_EPOCH - 1)

    lines = [
        json.loads(line) for path in Path(tmp_path, 'run').rglob('*.json')
        for line in path.read_text().splitlines()
    ]
    logged = set().union(*lines)
    for module in state['lr_scale']:
        for what in ('variance', 'lr_scale'):
            assert f'agvm/{what}/{module}' in logged
    # That of a module is logged once its mean gradient stands out of noise.
    assert any(key.startswith('agvm/noise_scale/') for key in logged)
    assert {line.get('agvm/num_replicas')
            for line in lines} <= {None, ACCUMULATION}
    assert not any(line.get('agvm/skipped') for line in lines)
