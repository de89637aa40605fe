"""A run goes on from a checkpoint of another total batch, or of none."""
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import LinearLR
from mmengine.registry import DATASETS, RUNNERS

from agvm_mm.large_batch import resumed
from tests.toy import before_each_step

from .test_sampler import ToyData, toy_config


@DATASETS.register_module()
class SomeToyData(ToyData):
    """The first of its images."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return self.images


class Steps(Hook):
    """The learning rate of each update, and where the training began."""

    def before_train(self, runner):
        self.lrs, self.began = [], (runner.epoch, runner.iter)
        self.clock = getattr(runner.optim_wrapper, 'clock', None)
        self.updates = self.clock and self.clock.updates
        optimizer = runner.optim_wrapper.optimizer
        before_each_step(
            optimizer,
            lambda _: self.lrs.append(optimizer.param_groups[0]['lr']))


def config(work_dir, by_iteration, length, images=21):
    """With a checkpoint after each epoch, or each three iterations."""
    cfg = toy_config(work_dir, by_iteration)
    cfg.train_dataloader.dataset = dict(type='SomeToyData', images=images)
    cfg.param_scheduler = [
        dict(
            type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=20)
    ]
    cfg.optim_wrapper.agvm = dict(begin=1, interval=2)
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook',
        interval=3 if by_iteration else 1,
        by_epoch=not by_iteration)
    cfg.train_cfg = dict(
        by_epoch=False, max_iters=length) if by_iteration else dict(
            by_epoch=True, max_epochs=length)
    cfg.runner_type = 'TotalBatchRunner'
    cfg.max_samples_per_gpu = 4
    return cfg


def plain(cfg, **wrapper):
    """MMEngine's own run of the same: 8 samples an update."""
    cfg = Config(cfg.to_dict(), format_python_code=False)
    for key in ('runner_type', 'total_batch_size', 'max_samples_per_gpu'):
        cfg.pop(key)
    cfg.custom_hooks = []
    cfg.train_dataloader.batch_size = 8
    cfg.optim_wrapper = dict(
        type='OptimWrapper', optimizer=cfg.optim_wrapper.optimizer, **wrapper)
    return cfg


def train(cfg, name, **settings):
    cfg.update(settings)
    cfg.experiment_name = f'{cfg.work_dir}_{name}'
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else RUNNERS.get(
        'Runner').from_cfg(cfg)
    steps = Steps()
    runner.register_hook(steps)
    runner.train()
    return steps


@pytest.fixture(name='warnings')
def _warnings(monkeypatch):
    messages = []
    monkeypatch.setattr(resumed, 'print_log',
                        lambda message, **kwargs: messages.append(message))
    return messages


@pytest.mark.parametrize(
    'by_iteration', [False, True], ids=['epochs', 'iters'])
def test_a_plain_checkpoint_counts_updates(by_iteration, tmp_path):
    """Six updates of MMEngine's, six of two micro-batches each."""
    half, whole = (6, 12) if by_iteration else (2, 4)
    expected = train(
        plain(config(tmp_path / 'whole', by_iteration, whole)), 'whole')
    train(plain(config(tmp_path, by_iteration, half)), 'plain')
    steps = train(
        config(tmp_path, by_iteration, whole), 'ours', resume=True)
    assert steps.began == ((0 if by_iteration else 2), 12)
    assert steps.updates == 6
    assert steps.lrs == expected.lrs[6:]


def test_a_plain_checkpoint_of_micro_batches_counts_updates(tmp_path):
    """As one that was split by hand, with AGVM or without."""
    cfg = config(tmp_path, True, 12)
    by_hand = plain(cfg, accumulative_counts=4)
    by_hand.train_dataloader.batch_size = 2
    train(by_hand, 'by_hand')
    steps = train(config(tmp_path, True, 12), 'ours', resume=True)
    assert steps.began == (0, 6)
    assert len(steps.lrs) == 9
    assert resumed._updates_done(
        dict(meta=dict(iter=12), optimizer=dict(agvm=dict(updates=3)))) == 3


def test_a_schedule_of_micro_batches_goes_on_in_updates(tmp_path):
    whole = train(config(tmp_path / 'whole', True, 12), 'whole')
    by_hand = plain(config(tmp_path, True, 12), accumulative_counts=4)
    by_hand.train_dataloader.batch_size = 2
    by_hand.param_scheduler[0].end, by_hand.train_cfg.max_iters = 80, 24
    by_hand.default_hooks.checkpoint.interval = 12
    before = train(by_hand, 'by_hand')
    steps = train(config(tmp_path, True, 12), 'ours', resume=True)
    assert steps.began == (0, 12)
    # From the rate that the other had: its warm-up has 79 steps and not 76.
    assert before.lrs[-1] < steps.lrs[0] < steps.lrs[-1]
    assert steps.lrs == pytest.approx(whole.lrs[6:], rel=0.04)


def test_another_total_batch(tmp_path, warnings):
    train(config(tmp_path / 'iters', True, 6), 'first')
    steps = train(
        config(tmp_path / 'iters', True, 12),
        'second',
        total_batch_size=16,
        resume=True)
    assert (steps.updates, len(steps.lrs)) == (6, 6)
    warning, = warnings
    assert warning == (
        'The checkpoint is of total_batch_size=8, and this run of 16: what '
        'counts updates goes on at update 6.')


@pytest.mark.parametrize('epochs', [2, 3])
def test_another_total_batch_by_epochs(epochs, tmp_path, warnings):
    """After two of three updates, an epoch of two would look done."""
    train(config(tmp_path, False, epochs), 'first')
    steps = train(
        config(tmp_path, False, 8),
        'second',
        total_batch_size=16,
        resume=True)
    assert steps.began == (epochs, epochs * 2 * 4)
    assert (steps.updates, len(steps.lrs)) == (3 * epochs, 2 * (8 - epochs))
    assert len(warnings) == 2


@pytest.mark.parametrize('images', [9, 42])
def test_data_of_another_size_begin_their_epoch_anew(images, tmp_path,
                                                     warnings):
    train(config(tmp_path, False, 2), 'first')
    assert not warnings
    steps = train(
        config(tmp_path, False, 4, images=images), 'second', resume=True)
    an_epoch = -(-images // 8)
    assert steps.began == (2, 2 * 2 * an_epoch)
    assert len(steps.lrs) == 2 * an_epoch
    warning, = warnings
    assert warning == (
        f'The checkpoint is of other epochs than of {an_epoch} updates: the '
        'training goes on at the beginning of epoch 3.')


def test_plain_epochs_of_another_length_begin_anew(tmp_path, warnings):
    """One of six updates is over, which would be two of three."""
    cfg = plain(config(tmp_path, False, 1))
    cfg.train_dataloader.batch_size = 4
    train(cfg, 'plain')
    steps = train(config(tmp_path, False, 3), 'ours', resume=True)
    assert (steps.began, len(steps.lrs)) == ((1, 6), 6)
    assert len(warnings) == 1


@pytest.mark.parametrize(('updates', 'last_step'), [(3, -1), (9, -1), (14, 4),
                                                    (30, 9)])
def test_a_schedule_that_has_not_begun_or_has_ended(updates, last_step):
    """Split by hand before: its state counted iterations."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    own = LinearLR(
        optimizer, start_factor=0.1, by_epoch=False, begin=10, end=20)
    state = own.state_dict()
    resumed._count_updates([own], [state], updates)
    assert state['last_step'] == last_step
    assert state['_global_step'] == updates + 1
