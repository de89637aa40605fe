"""Signals to trainings of a toy: real processes, real signals."""
import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.registry import (
    DATASETS,
    HOOKS,
    LOOPS,
    METRICS,
    MODELS,
    RUNNERS,
)
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.multiprocessing import ProcessExitedException

import agvm_mm  # noqa: F401
from agvm_mm.compat.checkpoint import allow_mmengine_checkpoints
from agvm_mm.large_batch import resolve
from agvm_mm.recovery.preemption import PREEMPTED
from agvm_mm.recovery.stop_signals import SAME_REQUEST, STOP_SIGNALS
from tests.commands import call, load
from tests.distributed import run_ranks
from tests.faults.training import children
from tests.toy import ToyDetector

PR_GET_PDEATHSIG = 2  # of <sys/prctl.h>
IMAGES = 24  # 6 updates of 4 an epoch


@DATASETS.register_module()
class Images(torch.utils.data.Dataset):
    """Random inputs and targets."""

    def __len__(self):
        return IMAGES

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        return dict(
            inputs=torch.randn(6, generator=generator),
            data_samples=torch.randn(10, generator=generator))


@MODELS.register_module()
class TrainedToy(ToyDetector):
    """Its loss, or nothing of use."""

    def forward(self, inputs, data_samples=None, mode='tensor'):
        if mode == 'predict':
            return [dict() for _ in inputs]
        return super().forward(inputs, data_samples, mode)


@LOOPS.register_module()
class OwnEpochLoop(EpochBasedTrainLoop):
    """A user's, which begins the epoch anew after a resume."""


@METRICS.register_module()
class Nothing:
    """Measures nothing."""

    dataset_meta = None

    def process(self, *args, **kwargs):
        pass

    def evaluate(self, size):
        return dict(nothing=0.0)


@HOOKS.register_module()
class SignalHook(Hook):
    """Signals this process at an iteration of the training."""

    priority = 'HIGHEST'

    def __init__(self, at, number, rank, where='after_train_iter', wait=0):
        self.at, self.number, self.rank = at, number, rank
        self.where, self.wait = where, wait

    def _signal(self, where, iteration):
        if (where == self.where and iteration == self.at
                and int(os.environ['RANK']) == self.rank):
            time.sleep(self.wait)
            os.kill(os.getpid(), self.number)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self._signal('before_train_iter', runner.iter)

    def after_train_iter(self, runner, batch_idx, **kwargs):
        self._signal('after_train_iter', runner.iter)

    def after_val_iter(self, runner, batch_idx, **kwargs):
        self._signal('after_val_iter', batch_idx)


@HOOKS.register_module()
class EndHook(Hook):
    """Writes how far a validation came."""

    priority = 'HIGHEST'

    def after_val_iter(self, runner, batch_idx, **kwargs):
        Path(runner.work_dir, 'validated').write_text(str(batch_idx + 1))


@HOOKS.register_module()
class SignalWorkersHook(Hook):
    """Signals each worker, as Slurm signals whatever belongs to a task."""

    def after_train_iter(self, runner, batch_idx, **kwargs):
        workers = [str(worker) for worker in children(os.getpid())]
        if runner.iter % 3 == 2:
            for number in STOP_SIGNALS:
                # By another process: they heed their rank.
                subprocess.run(['kill', f'-{number}', *workers], check=True)
            assert len(workers) == 2


def start(rank, work_dir, ranks, settings):
    """A training of three epochs, of six updates each; how it ends."""
    return _train(rank, work_dir, ranks, **settings)


def _train(rank,
           work_dir,
           ranks,
           hooks=(),
           samples=4,
           workers=0,
           by_epoch=True,
           save_every=-1,
           resume=False,
           validate=False,
           loop=None,
           kind='Runner',
           **checkpoint):
    os.environ['RANK'] = str(rank)
    allow_mmengine_checkpoints()
    Runner._log_env = lambda *args: None  # It takes a second.
    loader = dict(
        batch_size=samples,
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=dict(type='default_collate'),
        dataset=dict(type='Images'),
        sampler=dict(type='DefaultSampler', shuffle=False))
    cfg = dict(
        model=dict(type='TrainedToy'),
        work_dir=str(work_dir),
        train_dataloader=loader,
        train_cfg=dict(max_epochs=3, val_interval=1) if by_epoch else dict(
            by_epoch=False, max_iters=18, val_interval=100),
        total_batch_size=4,
        optim_wrapper=dict(
            optimizer=dict(type='SGD', lr=0.01, momentum=0.9)),
        default_hooks=dict(
            checkpoint=dict(
                type='CheckpointHook', by_epoch=by_epoch,
                interval=save_every, **checkpoint)),
        custom_hooks=list(hooks),
        model_wrapper_cfg=dict(type='CPUDistributedDataParallel'),
        experiment_name=f'{work_dir}_{time.time_ns()}',
        env_cfg=dict(dist_cfg=dict(backend='gloo')),
        log_level='ERROR',
        resume=resume)
    if validate:
        cfg.update(
            val_dataloader=dict(loader, batch_size=1),
            val_cfg=dict(),
            val_evaluator=dict(type='Nothing'))
    if loop:
        cfg['train_cfg']['type'] = loop
    elif by_epoch:
        cfg['train_cfg']['by_epoch'] = True
    torch.manual_seed(0)
    handlers = [signal.getsignal(number) for number in STOP_SIGNALS]
    runner = RUNNERS.get(kind).from_cfg(resolve(Config(cfg), ranks))
    try:
        runner.train()
        code = 0
        assert handlers == [signal.getsignal(n) for n in STOP_SIGNALS]
    except SystemExit as stop:
        code = stop.code
    iteration = runner.iter
    # Workers that go with a cycle of garbage are waited for in vain.
    vars(runner.train_loop).clear()
    return code, iteration


def train(work_dir, ranks=1, **settings):
    """Each rank's exit code, and the iterations that were over."""
    return run_ranks(start, ranks, work_dir, ranks, settings)


def signalled(rank=0, at=2, number=signal.SIGTERM, **where):
    return dict(
        type='SignalHook', at=at, number=int(number), rank=rank, **where)


def saved(work_dir):
    return sorted(path.name for path in work_dir.glob('*.pth'))


def latest(work_dir):
    return os.path.basename((work_dir / 'last_checkpoint').read_text())


@pytest.mark.parametrize('ranks', [1, 2])
def test_all_ranks_stop_at_one_update_and_go_on(tmp_path, ranks):
    whole, cut = tmp_path / 'whole', tmp_path / 'cut'
    assert train(whole, ranks, by_epoch=False) == [(0, 18)] * ranks
    # One request, of a launcher and a scheduler.
    hooks = [
        signalled(ranks - 1, number=number)
        for number in (signal.SIGUSR1, signal.SIGTERM)
    ]
    # It came when the third update was over, and the fourth is the last.
    assert train(
        cut, ranks, by_epoch=False, hooks=hooks) == [(PREEMPTED, 3)] * ranks
    assert saved(cut) == [latest(cut)] == ['preempted_iter_4.pth']
    assert train(
        cut, ranks, by_epoch=False, resume=True) == [(0, 18)] * ranks
    assert saved(cut) == ['iter_18.pth']
    one, other = (load(path / 'iter_18.pth') for path in (whole, cut))
    for name, tensor in one['state_dict'].items():
        assert torch.equal(tensor, other['state_dict'][name])
    assert one['meta']['updates'] == other['meta']['updates'] == 18


def test_a_run_that_begins_anew_keeps_what_another_saved(tmp_path):
    """Requeued without --resume: it may be all that there is."""
    assert train(
        tmp_path, by_epoch=False, hooks=[signalled()]) == [(PREEMPTED, 3)]
    assert train(tmp_path, by_epoch=False) == [(0, 18)]
    assert saved(tmp_path) == ['iter_18.pth', 'preempted_iter_4.pth']
    assert latest(tmp_path) == 'iter_18.pth'


def test_a_resumed_run_keeps_it_until_there_is_another(tmp_path):
    assert train(
        tmp_path, by_epoch=False, hooks=[signalled()]) == [(PREEMPTED, 3)]
    killed = signalled(at=8, number=signal.SIGKILL)
    with pytest.raises(ProcessExitedException, match='SIGKILL'):
        train(tmp_path, by_epoch=False, resume=True, hooks=[killed])
    assert saved(tmp_path) == ['preempted_iter_4.pth']


def test_it_takes_the_place_of_an_earlier_one_of_its_name(tmp_path):
    """Of a run that began anew, or with other micro-batches."""
    for _ in range(2):
        assert train(
            tmp_path, by_epoch=False, hooks=[signalled()]) == [(PREEMPTED, 3)]
        assert saved(tmp_path) == [latest(tmp_path)] == [
            'preempted_iter_4.pth'
        ]


def death_of_the_launcher(rank, work_dir):
    """The signal that Linux sends a rank of torchrun then."""
    os.environ['TORCHELASTIC_RUN_ID'] = 'run'
    _train(rank, work_dir, 1)
    number = ctypes.c_int()
    ctypes.CDLL(None).prctl(PR_GET_PDEATHSIG, ctypes.byref(number))
    return number.value


def test_a_rank_ends_with_its_launcher(tmp_path):
    assert run_ranks(death_of_the_launcher, 1, tmp_path) == [signal.SIGKILL]


def test_the_package_is_imported_where_there_is_one_signal():
    """As on Windows, which is not at hand: its lacks stand in for it."""
    call(
        'python', '-c', 'import signal, sys; del signal.SIGUSR1; '
        'sys.modules.update(resource=None, fcntl=None); '
        'from agvm_mm.recovery.stop_signals import STOP_SIGNALS; '
        'assert STOP_SIGNALS == (signal.SIGTERM, ); import agvm_mm')


@pytest.mark.parametrize('where', ['before_train_iter', 'after_train_iter'])
def test_an_update_of_micro_batches_is_finished(tmp_path, where):
    """The third update is iterations 4 and 5; the signal is in its midst."""
    hook = signalled(at=4, where=where)
    assert train(tmp_path, samples=2, hooks=[hook]) == [(PREEMPTED, 5)]
    checkpoint = load(tmp_path / 'preempted_iter_6.pth')
    assert checkpoint['meta']['updates'] == 3
    assert (checkpoint['meta']['epoch'], checkpoint['meta']['iter']) == (0, 6)


@pytest.mark.parametrize(('save_every', 'expected'),
                         [(1, 'epoch_1.pth'), (-1, 'preempted_iter_6.pth')])
def test_an_epoch_is_finished(tmp_path, save_every, expected):
    """A checkpoint that is there is not written twice."""
    hook = signalled(at=5, where='before_train_iter')
    assert train(
        tmp_path, 2, save_every=save_every,
        hooks=[hook]) == [(PREEMPTED, 6)] * 2
    assert saved(tmp_path) == [latest(tmp_path)] == [expected]
    assert load(tmp_path / expected)['meta']['epoch'] == 1


def test_a_flexible_runner_saves_the_epoch_that_is_over(tmp_path):
    settings = dict(kind='TotalBatchFlexibleRunner')
    assert train(
        tmp_path,
        hooks=[signalled(at=5, where='before_train_iter')],
        **settings) == [(PREEMPTED, 6)]
    meta = load(tmp_path / 'preempted_iter_6.pth')['meta']
    assert (meta['epoch'], meta['iter'], meta['updates']) == (1, 6, 6)
    assert train(tmp_path, resume=True, **settings) == [(0, 18)]


def test_a_checkpoint_without_its_optimizer_is_not_enough(tmp_path):
    """No run goes on from it."""
    assert train(
        tmp_path,
        save_every=1,
        save_optimizer=False,
        hooks=[signalled(at=5, where='before_train_iter')]) == [(PREEMPTED, 6)]
    assert saved(tmp_path) == ['epoch_1.pth', 'preempted_iter_6.pth']
    assert latest(tmp_path) == 'preempted_iter_6.pth'
    assert train(
        tmp_path,
        save_every=1,
        save_optimizer=False,
        resume=True,
        hooks=[signalled(at=14)]) == [(PREEMPTED, 15)]
    assert saved(tmp_path) == [
        'epoch_1.pth', 'epoch_2.pth', 'preempted_iter_16.pth'
    ]


@pytest.mark.parametrize('ranks', [1, 2])
def test_in_mid_epoch_the_last_checkpoint_is_not_enough(tmp_path, ranks):
    assert train(
        tmp_path, ranks, save_every=1,
        hooks=[signalled(at=8)]) == [(PREEMPTED, 9)] * ranks
    assert saved(tmp_path) == ['epoch_1.pth', 'preempted_iter_10.pth']
    assert latest(tmp_path) == 'preempted_iter_10.pth'


def test_a_loop_that_does_not_go_on_in_mid_epoch_saves_nothing(tmp_path):
    """Where MMEngine's would begin the epoch anew, at iteration 6."""
    assert train(
        tmp_path, loop='OwnEpochLoop', hooks=[signalled()]) == [(PREEMPTED, 3)]
    assert saved(tmp_path) == []
    assert train(
        tmp_path,
        loop='OwnEpochLoop',
        save_every=1,
        hooks=[signalled(at=8)]) == [(PREEMPTED, 9)]
    assert saved(tmp_path) == [latest(tmp_path)] == ['epoch_1.pth']
    assert train(tmp_path, loop='OwnEpochLoop', resume=True) == [(0, 18)]


def test_a_validation_is_cut_short(tmp_path):
    """Of 24 images: asked after the tenth, answered after the twentieth."""
    hooks = [signalled(at=3, where='after_val_iter'), dict(type='EndHook')]
    assert train(
        tmp_path, save_every=1, validate=True,
        hooks=hooks) == [(PREEMPTED, 6)]
    assert saved(tmp_path) == [latest(tmp_path)] == ['epoch_1.pth']
    assert (tmp_path / 'validated').read_text() == '20'
    # The run that goes on begins with it, from what is saved.
    assert train(
        tmp_path, save_every=1, validate=True, resume=True,
        hooks=hooks) == [(PREEMPTED, 6)]
    assert saved(tmp_path) == [latest(tmp_path)] == ['epoch_1.pth']
    assert (tmp_path / 'validated').read_text() == '20'


def by_another_path(rank, folder):
    """A run that is cut at an epoch's end, and what goes on from it."""
    own = dict(rank=rank, ranks=2, save_every=1, validate=True)
    before = _train(
        work_dir=folder / 'real/w',
        hooks=[signalled(at=5, where='before_train_iter')],
        **own)
    Nothing.evaluate = lambda self, size: dict(  # As one that collects.
        nothing=sum(all_gather_object(0.0)))
    mine = folder / ('link' if rank else 'real') / 'w'
    return before, _train(work_dir=mine, resume=True, **own)


def test_a_work_dir_that_ranks_know_by_other_paths(tmp_path):
    """All of them ask while the validation runs, or none does."""
    (tmp_path / 'real').mkdir()
    (tmp_path / 'link').symlink_to('real')
    assert run_ranks(by_another_path, 2,
                     tmp_path) == [((PREEMPTED, 6), (0, 18))] * 2


def test_a_validation_ends_where_nothing_is_saved(tmp_path):
    hooks = [signalled(at=3, where='after_val_iter'), dict(type='EndHook')]
    assert train(tmp_path, validate=True, hooks=hooks) == [(PREEMPTED, 6)]
    assert saved(tmp_path) == ['preempted_iter_7.pth']
    assert (tmp_path / 'validated').read_text() == '24'


def test_a_second_signal_stops_at_once(tmp_path):
    hooks = [signalled(at=7), signalled(at=8, wait=SAME_REQUEST + 0.1)]
    with pytest.raises(ProcessExitedException, match='SIGTERM'):
        train(tmp_path, samples=1, save_every=1, hooks=hooks)
    assert not list(tmp_path.glob('*.pth'))


@pytest.mark.parametrize('by_epoch', [True, False])
def test_workers_outlive_a_signal_to_them(tmp_path, by_epoch):
    """Whether the loop starts them before the training, or in it."""
    hook = dict(type='SignalWorkersHook')
    assert train(
        tmp_path, workers=2, by_epoch=by_epoch, hooks=[hook]) == [(0, 18)]
