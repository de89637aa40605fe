"""max_samples_per_gpu='auto', under a real limit of memory."""
import logging
import os
import random
import resource
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import MODELS, RUNNERS

from agvm_mm.engine.unbuilt import UnbuiltRunner
from agvm_mm.large_batch import find_samples, resolve
from agvm_mm.large_batch.probe.find import possible_micro_batches
from tests.distributed import run_ranks
from tests.test_large_batch.test_sampler import (
    DoubleToyDetector,
    Recorder,
    toy_config,
)

MIB = 2**20
OF_A_SAMPLE = 64 * MIB  # of address space, kept for the backward pass


@MODELS.register_module()
class HungryToyDetector(DoubleToyDetector):
    """Keeps much for the backward pass; it draws, and may have batch norm."""

    def __init__(self, batch_norm=False):
        super().__init__()
        norm = torch.nn.BatchNorm1d(8) if batch_norm else torch.nn.Identity()
        self.neck = torch.nn.Sequential(self.neck, norm,
                                        torch.nn.Dropout(0.1)).double()

    def forward(self, inputs, data_samples=None, mode='tensor'):
        out = super().forward(inputs, data_samples, mode)
        if mode == 'loss':
            large = torch.empty(
                len(inputs), OF_A_SAMPLE // 8, dtype=torch.float64)
            column = large[:, :1].fill_(1)  # or each page would be filled
            weight = self.rpn_head.weight.sum()
            out['loss'] = out['loss'] + 1e-3 * (column * weight).mean()
        return out


@contextmanager
def room(mib):
    """Within, this process can have so much more memory."""
    with open('/proc/self/statm') as file:
        taken = int(file.read().split()[0]) * os.sysconf('SC_PAGE_SIZE')
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (taken + mib * MIB, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def config(work_dir, name, samples='auto', **more):
    cfg = toy_config(work_dir, by_iteration=False)
    name = f'{Path(work_dir).name}_{name}'
    cfg.merge_from_dict(
        dict(
            total_batch_size=16,
            max_samples_per_gpu=samples,
            runner_type='TotalBatchRunner',
            model=dict(type='HungryToyDetector'),
            train_cfg=dict(max_epochs=1),
            env_cfg=dict(dist_cfg=dict(backend='gloo')),
            experiment_name=name,
            visualizer=dict(type='Visualizer', name=name)))
    cfg.merge_from_dict(more)
    return cfg


def train(cfg):
    runner = RUNNERS.build(cfg)
    runner.train()
    return runner


@pytest.mark.parametrize('runner_type',
                         ['TotalBatchRunner', 'TotalBatchFlexibleRunner'])
def test_what_fits_is_found_and_trained(runner_type, tmp_path):
    cfg = config(tmp_path, runner_type, runner_type=runner_type)
    with room(600):  # 256 to spare; 8 samples would be 512 MiB
        runner = train(cfg)
    assert runner.cfg.max_samples_per_gpu == 4
    assert runner.cfg.train_dataloader.batch_size == 4
    assert runner.cfg.optim_wrapper.accumulative_counts == 4
    log, = tmp_path.glob('*/*.log')
    line, = (line for line in log.read_text().splitlines()
             if "max_samples_per_gpu='auto': " in line)
    assert ('samples_per_gpu=4 of a size not known fits on every '
            'process, with 256 MiB of memory to spare, 8 does not; found by '
            '4 tries in') in line
    with room(600), pytest.raises(RuntimeError, match='allocate'):
        train(
            config(
                tmp_path,
                f'{runner_type}_more',
                16,
                total_batch_size=32,
                runner_type=runner_type))


def test_it_is_the_run_of_that_number_to_the_bit(tmp_path):
    """Also where batch norm refuses a single sample."""
    model = dict(batch_norm=True)
    with room(600):
        auto = train(config(tmp_path, 'bits', model=model))
    written = train(config(tmp_path, 'written', 4, model=model))
    assert auto.cfg.train_dataloader == written.cfg.train_dataloader
    theirs = written.model.state_dict()
    assert any('running_mean' in name for name in theirs)
    for name, tensor in auto.model.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name


def test_nothing_is_touched(tmp_path):
    def states():
        return (random.getstate(), np.random.get_state()[1].tolist(),
                torch.get_rng_state().tolist(),
                resource.getrlimit(resource.RLIMIT_AS),
                torch.backends.cudnn.benchmark, torch.is_grad_enabled(),
                logging.root.manager.disable,
                MessageHub.get_current_instance().instance_name)

    cfg = config(tmp_path, 'untouched', env_cfg=dict(cudnn_benchmark=True))
    before = cfg.to_dict(), states()
    found, line = find_samples(cfg, 'none')
    assert (cfg.to_dict(), states()) == before
    # Of 16 on one process, AGVM needs two micro-batches.
    assert found.max_samples_per_gpu == 8
    assert 'this total batch asks for no more; found by 4 tries' in line
    assert find_samples(found, 'none') == (found, None)


def test_nothing_fits(tmp_path, monkeypatch):
    monkeypatch.setattr(f'{__name__}.OF_A_SAMPLE', 1024 * MIB)
    with room(600), pytest.raises(
            ValueError,
            match="'auto': a process has no memory for samples_per_gpu=1 of a "
            r'size not known \(.*allocate.*\): make the images'):
        find_samples(config(tmp_path, 'nothing'), 'none')


def test_there_is_nothing_to_be_tried_in(tmp_path):
    with room(300), pytest.raises(
            ValueError,
            match=r"'auto': a process can take no more than [23]\d\d MiB, of "
            r'which 256 are kept for what comes beside the batch: give'):
        find_samples(config(tmp_path, 'little'), 'none')


def of_two_ranks(rank, work_dir):
    os.environ['LOCAL_RANK'] = str(rank)
    cfg = config(
        work_dir,
        'ranks',
        launcher='pytorch',
        total_batch_size=32,
        model_wrapper_cfg=dict(type='CPUDistributedDataParallel'))
    with pytest.MonkeyPatch.context() as patch:
        # Threads take as much address space as 64 MiB each: samples are large
        # beside a few more of them.
        patch.setattr(f'{__name__}.OF_A_SAMPLE', 256 * MIB)
        with room(3900 if rank else 2400):
            found, _ = find_samples(cfg, 'pytorch')
            runner = train(cfg)
        assert runner.cfg.max_samples_per_gpu == found.max_samples_per_gpu
        with room(3900 if rank else 600):
            try:
                find_samples(cfg, 'pytorch')
            except ValueError as error:
                return found.max_samples_per_gpu, str(error)


def test_ranks_take_the_smaller_answer(tmp_path):
    (ours, said), (theirs, says) = run_ranks(of_two_ranks, 2, tmp_path)
    assert ours == theirs == 4
    # The rank that has the room knows why as well.
    assert said == says
    assert 'a process can take no more than ' in said


def test_other_errors_are_the_configs_own(tmp_path):
    cfg = config(tmp_path, 'wrong', model=dict(type='NoSuchDetector'))
    with pytest.raises(KeyError, match='NoSuchDetector'):
        find_samples(cfg, 'none')


@pytest.mark.parametrize(('change', 'message'), [
    (dict(total_batch_size=1), 'leaves AGVM a single gradient'),
    (dict(total_batch_size=None), 'total_batch_size is not set'),
    (dict(strategy=dict(type='AGVMFSDPStrategy')),
     r"under strategy\.type='AGVMFSDPStrategy', which shares a model"),
])
def test_what_cannot_be_tried_is_refused(change, message, tmp_path):
    cfg = config(tmp_path, 'refused', **change)
    with pytest.raises(ValueError, match=message):
        find_samples(cfg, 'none')


@pytest.mark.parametrize(('total', 'processes', 'expected'), [
    (96, 1, {1: 96, 2: 48, 3: 32, 4: 24, 6: 16, 8: 12, 12: 8, 16: 6, 24: 4,
             32: 3, 48: 2}),
    (96, 8, {1: 12, 2: 6, 3: 4, 4: 3, 6: 2, 12: 1}),
    (7, 2, {2: 2, 4: 1}),
])
def test_the_sizes_of_micro_batches(total, processes, expected, tmp_path):
    cfg = config(tmp_path, 'sizes', total_batch_size=total)
    found = possible_micro_batches(cfg, processes)
    assert found == expected
    for samples in found:
        cfg.max_samples_per_gpu = samples
        assert resolve(cfg, processes).train_dataloader.batch_size == samples


def test_a_runner_that_does_not_train_tries_nothing(tmp_path):
    runner = RUNNERS.build(config(tmp_path, 'tests'))
    assert isinstance(runner, UnbuiltRunner)
    recorder = Recorder()
    runner.register_hook(recorder)
    assert runner.cfg.max_samples_per_gpu == 'auto'
    with pytest.raises(
            ValueError, match=r"'auto' is found where a training starts"):
        runner.train()
    assert not hasattr(recorder, 'losses')


def test_a_runner_of_mmengine_warns(tmp_path):
    cfg = config(tmp_path, 'mmengine', runner_type='Runner')
    cfg.model.type = 'DoubleToyDetector'
    cfg.optim_wrapper.accumulative_counts = 2
    runner = RUNNERS.build(cfg)
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    MMLogger.get_current_instance().addHandler(handler)
    runner.train()
    message, = (r.getMessage() for r in records
                if 'The config states' in r.getMessage())
    assert "set runner_type='TotalBatchRunner'" in message
