"""The total batch under the runners that a config names."""
import logging
import os
from pathlib import Path

import pytest
import torch
from command_line.mixed_precision import use_mixed_precision
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.logging import MMLogger
from mmengine.registry import DATASETS, MODELS, RUNNERS

from agvm_mm.engine.runner import check_strategy
from tests.distributed import run_ranks
from tests.test_large_batch.test_sampler import (
    Recorder,
    toy_config,
    train_toy,
)


@DATASETS.register_module()
class NoImages(BaseDataset):
    """What is left of a dataset whose classes are misspelt."""

    def load_data_list(self):
        return []


RUNNER_TYPES = ['TotalBatchRunner', 'TotalBatchFlexibleRunner']


def config(work_dir, name, runner_type='TotalBatchRunner', **more):
    cfg = toy_config(work_dir, by_iteration=False)
    cfg.merge_from_dict(
        dict(
            runner_type=runner_type,
            max_samples_per_gpu=2,
            env_cfg=dict(dist_cfg=dict(backend='gloo')),
            experiment_name=f'{Path(work_dir).name}_{name}',
            visualizer=dict(
                type='Visualizer', name=f'{Path(work_dir).name}_{name}'),
            **more))
    return cfg


@pytest.mark.parametrize('runner_type', RUNNER_TYPES)
def test_the_class_builds_a_loader(runner_type, tmp_path):
    """As scripts do by MMEngine's Runner, without one at hand."""
    loader = config(tmp_path, runner_type).train_dataloader
    built = RUNNERS.get(runner_type).build_dataloader(loader)
    assert len(built) == 11  # of 21 images


def train(rank, work_dir, runner_type, world_size):
    """As mmdet's own tools/train.py does; what :func:`train_toy` returns."""
    cfg = config(work_dir, f'{runner_type}_{world_size}', runner_type)
    cfg.custom_hooks = []
    cfg.launcher = 'none'
    if world_size > 1:
        os.environ['LOCAL_RANK'] = str(rank)
        cfg.launcher = 'pytorch'
        cfg.model_wrapper_cfg = dict(type='CPUDistributedDataParallel')
    before = cfg.to_dict()
    runner = RUNNERS.build(cfg)
    assert cfg.to_dict() == before
    recorder = Recorder()
    runner.register_hook(recorder)
    runner.train()
    weights = [p.detach() for p in runner.model.parameters()]
    return recorder.lrs, recorder.losses, weights


@pytest.mark.parametrize('runner_type', RUNNER_TYPES)
def test_one_process(runner_type, tmp_path):
    lrs, losses, weights = train_toy(0, tmp_path, False, 1)
    ours = train(0, tmp_path, runner_type, 1)
    assert ours[:2] == (lrs, losses)
    assert len(losses) == 36  # 9 updates of four micro-batches
    for tensor, theirs in zip(ours[2], weights):
        assert torch.equal(tensor, theirs)


@pytest.mark.parametrize('runner_type', RUNNER_TYPES)
def test_runners_that_are_built_together_are_apart(runner_type, tmp_path):
    """Each begins by its own warm-up, and logs for itself."""
    runners = []
    for name, end in (('one', 2), ('other', 4)):
        cfg = config(tmp_path / name, runner_type, runner_type)
        cfg.param_scheduler = [
            dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=end)
        ]
        cfg.optim_wrapper.agvm = dict(begin=end, interval=2)
        runners.append(RUNNERS.build(cfg))
    for runner, begin in zip(runners, (2, 4)):
        runner.train()
        assert runner.optim_wrapper.message_hub is runner.message_hub
        assert MMLogger.get_current_instance() is runner.logger
        key = 'train/agvm/variance/backbone'
        told = runner.message_hub.get_scalar(key).data[1]
        assert len(told) == len(range(begin, 9, 2))


def test_two_processes(tmp_path):
    expected = run_ranks(train_toy, 2, tmp_path, False, 2)
    for ours, theirs in zip(
            run_ranks(train, 2, tmp_path, 'TotalBatchRunner', 2), expected):
        assert ours[:2] == theirs[:2]
        assert len(ours[1]) == 18


def test_the_config_that_a_run_dumps_runs_again(tmp_path):
    RUNNERS.build(config(tmp_path, 'first'))
    dumped, = tmp_path.glob('*.py')
    cfg = Config.fromfile(dumped)
    assert cfg.optim_wrapper.accumulative_counts == 4
    cfg.max_samples_per_gpu = 4
    cfg.experiment_name = cfg.visualizer.name = f'{tmp_path.name}_again'
    again = RUNNERS.build(cfg).cfg
    assert again.optim_wrapper.accumulative_counts == 2
    assert again.train_dataloader.batch_size == 4


@pytest.mark.parametrize('runner_type', RUNNER_TYPES)
@pytest.mark.parametrize(('change', 'message'), [
    (dict(total_batch_size=1), 'leaves AGVM a single gradient'),
    (dict(total_batch_size=None), 'total_batch_size is not set'),
    (dict(auto_scale_lr=dict(enable=True, base_batch_size=8)),
     'auto_scale_lr.enable=True'),
])
def test_what_cannot_run_is_told_before_it_trains(runner_type, change, message,
                                                  tmp_path):
    name = f'{runner_type}_{next(iter(change))}{len(message)}'
    runner = RUNNERS.build(config(tmp_path, name, runner_type, **change))
    recorder = Recorder()
    runner.register_hook(recorder)
    with pytest.raises(ValueError, match=message):
        runner.train()
    assert not hasattr(recorder, 'losses')


@pytest.mark.parametrize('runner_type', [
    'TotalBatchRunner', 'agvm_mm.TotalBatchRunner',
    'agvm_mm.engine.runner.TotalBatchRunner'
], ids=['name', 'scope', 'path'])  # yapf: disable
def test_a_split_by_hand_runs_as_it_stands(runner_type, tmp_path):
    cfg = config(tmp_path, tmp_path.name)
    cfg.runner_type = runner_type
    cfg.optim_wrapper.accumulative_counts = 2
    cfg.custom_hooks = None
    runner = RUNNERS.build(cfg)
    assert runner.cfg.optim_wrapper.accumulative_counts == 2
    assert runner.cfg.train_dataloader.sampler.type == 'DefaultSampler'
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    MMLogger.get_current_instance().addHandler(handler)
    runner.train()
    message, = (
        r.getMessage() for r in records
        if 'The config states' in r.getMessage())
    assert 'total_batch_size=8, but 4 runs' in message
    assert 'leave optim_wrapper.accumulative_counts out, or set' in message


def test_amp_of_mmdets_own_tool_keeps_agvm(tmp_path):
    cfg = config(tmp_path, 'amp')
    # As it does for --amp.
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.loss_scale = 'dynamic'
    wrapper = RUNNERS.build(cfg).cfg.optim_wrapper
    assert wrapper.type == 'AGVMAmpOptimWrapper'
    assert wrapper.loss_scale == 'dynamic'


@pytest.mark.parametrize(('before', 'after'), [
    (dict(type='AGVMOptimWrapper'), 'AGVMAmpOptimWrapper'),
    (dict(type='AGVMAmpOptimWrapper'), 'AGVMAmpOptimWrapper'),
    (dict(type='OptimWrapper'), 'AmpOptimWrapper'),
    (dict(), 'AmpOptimWrapper'),
])
def test_mixed_precision(before, after):
    before['optimizer'] = dict(type='SGD', lr=0.1)
    for wrappers in (before, dict(a=before, b=before)):
        cfg = Config(dict(optim_wrapper=wrappers))
        use_mixed_precision(cfg)
        changed = cfg.optim_wrapper.get('a', cfg.optim_wrapper)
        assert changed.type == after
        assert changed.loss_scale == 'dynamic'


def test_mixed_precision_of_another_wrapper():
    cfg = Config(dict(optim_wrapper=dict(type='ApexOptimWrapper')))
    with pytest.raises(
            ValueError, match=r"wrapper\.type='ApexOptimWrapper' has no"):
        use_mixed_precision(cfg)


@pytest.mark.parametrize('runner_type', RUNNER_TYPES)
def test_checkpoints(runner_type, tmp_path):
    cfg = config(tmp_path, f'{runner_type}_a', runner_type)
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=3)
    RUNNERS.build(cfg).train()
    path = tmp_path / 'epoch_3.pth'
    # AGVM's checkpoint in a run without it, whose groups are others.
    plain = config(
        tmp_path, f'{runner_type}_b', runner_type, resume=True)
    plain.optim_wrapper = dict(optimizer=plain.optim_wrapper.optimizer)
    plain.load_from = str(path)
    with pytest.raises(ValueError, match=r'with AGVM.*agvm\.end=0'):
        RUNNERS.build(plain).train()
    # Its weights alone are for everyone.
    plain.resume = False
    plain.experiment_name += 'c'
    plain.visualizer.name = plain.experiment_name
    runner = RUNNERS.build(plain)
    runner.train()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match='is cut short'):
        runner.load_checkpoint(str(path))


@pytest.mark.parametrize('runner_type', RUNNER_TYPES)
def test_a_resume_of_nothing_says_that_it_starts_anew(runner_type, tmp_path):
    """Under a launcher that is not this repository's tools/train.py."""
    runner = RUNNERS.build(
        config(tmp_path, f'{runner_type}_anew', runner_type, resume=True))
    runner.train()
    log, = tmp_path.glob('*/*.log')
    assert f'{tmp_path} holds no checkpoint to resume: the training st' in (
        log.read_text())
    assert 'Auto resumed' not in log.read_text()


@pytest.mark.parametrize('runner_type', RUNNER_TYPES)
@pytest.mark.parametrize('resume', [False, True])
def test_a_folder_of_shards_is_told(runner_type, resume, tmp_path):
    folder = tmp_path / 'epoch_3.pth'
    folder.mkdir()
    (folder / 'rank0.pth').touch()
    runner = RUNNERS.build(
        config(
            tmp_path,
            f'{runner_type}_{resume}',
            runner_type,
            resume=resume,
            load_from=str(folder)))
    with pytest.raises(ValueError, match='is a folder, as FSDP writes'):
        runner.train()


@pytest.mark.parametrize('kind', ['FSDPStrategy', 'mmengine.FSDPStrategy'])
def test_mmengines_fsdp_strategy_is_refused_at_the_start(kind):
    cfg = Config(
        dict(
            strategy=dict(type=kind),
            optim_wrapper=dict(optimizer=dict(type='SGD'), agvm={})))
    with pytest.raises(ValueError, match=r"must be 'AGVMFSDPStrategy', with"):
        check_strategy(cfg)
    for strategy in (dict(type='AGVMFSDPStrategy'), None,
                     dict(type='DDPStrategy')):
        check_strategy(Config({**cfg, 'strategy': strategy}))
    cfg.optim_wrapper.pop('agvm')
    check_strategy(cfg)


@pytest.mark.parametrize('runner_type', RUNNER_TYPES)
@pytest.mark.parametrize('loader', ['train', 'val'])
def test_a_dataset_without_images(loader, runner_type, tmp_path):
    cfg = config(tmp_path, f'{runner_type}_{loader}', runner_type)
    if loader == 'val':
        cfg.val_dataloader = dict(
            cfg.train_dataloader,
            sampler=dict(type='DefaultSampler', shuffle=False))
        cfg.val_cfg = dict()
        cfg.val_evaluator = dict(type='mmengine.Evaluator', metrics=[])
    cfg[f'{loader}_dataloader'].dataset = dict(type='NoImages')
    with pytest.raises(
            ValueError, match=f'^{loader}_dataloader.dataset finds no image'):
        RUNNERS.build(cfg).train()


@pytest.mark.parametrize('runner_type', RUNNER_TYPES)
def test_a_checkpoint_in_the_home_folder(runner_type, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    cfg = config(tmp_path, runner_type, runner_type, load_from='~/a.pth')
    weights = MODELS.build(cfg.model).state_dict()
    torch.save(dict(state_dict=weights), tmp_path / 'a.pth')
    RUNNERS.build(cfg).train()
    log, = tmp_path.glob('*/*.log')
    assert f'{tmp_path}/a.pth' in log.read_text()
