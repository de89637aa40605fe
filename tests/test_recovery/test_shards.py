"""Under FSDP: stops on a signal, and what is there after a failed save."""
import os
import resource
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, RUNNERS

from agvm_mm.compat.checkpoint import check_checkpoint
from agvm_mm.compat.shards import load_whole
from agvm_mm.recovery.files import put_back
from agvm_mm.recovery.newest import find_newest
from agvm_mm.recovery.preemption import PREEMPTED
from tests.distributed import run_ranks
from tests.faults.test_faults import assert_equal
from tests.stack import fsdp
from tests.test_recovery.runs import log_of
from tests.test_recovery.test_preemption import signalled

pytestmark = fsdp


@HOOKS.register_module()
class FullDiskHook(Hook):
    """One rank can write no file of more than a kilobyte, in one update."""

    priority = 'VERY_HIGH'

    def __init__(self, at, rank):
        self.at, self.rank = at, rank

    def after_train_iter(self, runner, **kwargs):
        if int(os.environ['RANK']) == self.rank:
            size = 1000 if runner.iter + 1 == self.at else -1
            _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))


def run(rank, work_dir, state_dict_cfg, resume, hooks, checkpoint):
    """Twelve updates on two ranks; how they end, and what they had done."""
    os.environ.update(LOCAL_RANK=str(rank), RANK=str(rank))
    torch.manual_seed(0)
    runner = RUNNERS.build(
        Config(
            dict(
                runner_type='TotalBatchFlexibleRunner',
                launcher='pytorch',
                env_cfg=dict(),
                model=dict(type='TrainedToy'),
                work_dir=str(work_dir),
                train_dataloader=dict(
                    batch_size=2,
                    num_workers=0,
                    collate_fn=dict(type='default_collate'),
                    dataset=dict(type='Images'),
                    sampler=dict(type='DefaultSampler', shuffle=False)),
                train_cfg=dict(by_epoch=True, max_epochs=2, val_interval=9),
                total_batch_size=4,
                optim_wrapper=dict(
                    type='AGVMOptimWrapper',
                    constructor='AGVMOptimWrapperConstructor',
                    agvm=dict(begin=1, interval=2),
                    optimizer=dict(type='AdamW', lr=0.01)),
                strategy=dict(
                    type='AGVMFSDPStrategy',
                    state_dict_cfg=state_dict_cfg,
                    model_wrapper=dict(
                        auto_wrap_policy=dict(
                            type='wrap_classes', classes=['Linear']))),
                default_hooks=dict(
                    checkpoint=dict(type='CheckpointHook', **checkpoint)),
                custom_hooks=hooks,
                experiment_name=f'{work_dir}_{resume}',
                resume=resume)))
    try:
        runner.train()
        code = 0
    except SystemExit as stop:
        code = stop.code
    iteration = runner.iter
    dist.barrier()
    return code, iteration


def train(work_dir, kind='sharded', resume=False, hooks=(), **checkpoint):
    return run_ranks(run, 2, work_dir, kind, resume, list(hooks), checkpoint)


@pytest.fixture(scope='module', name='whole')
def _whole(tmp_path_factory):
    """What a run ends with that is not stopped."""
    work_dir = tmp_path_factory.mktemp('runs')
    assert train(work_dir, interval=2) == [(0, 12)] * 2
    return load_whole(work_dir / 'epoch_2.pth')


@pytest.mark.parametrize('kind', ['sharded', 'full'])
def test_all_ranks_stop_at_one_update_and_go_on(kind, whole, tmp_path):
    """The signal reaches one of them, in the midst of an epoch."""
    stop = signalled(rank=1, at=7)
    ends = train(tmp_path, kind, hooks=[stop], interval=2)
    assert ends == [(PREEMPTED, ends[0][1])] * 2
    done, = tmp_path.glob('*.pth')
    assert done.is_dir() == (kind == 'sharded')
    assert (tmp_path / 'last_checkpoint').read_text() == done.name
    assert find_newest(tmp_path) == (str(done), [])
    assert load_whole(done)['meta']['updates'] in (8, 9)
    assert train(tmp_path, kind, True, interval=2) == [(0, 12)] * 2
    end = tmp_path / 'epoch_2.pth'
    assert list(tmp_path.glob('*.pth')) == [end]
    assert list(tmp_path.glob('.*')) == []
    resumed = load_whole(end)
    for part in ('state_dict', 'optimizer'):
        assert_equal(dict(resumed[part]), whole[part], part)


@pytest.mark.parametrize('rank', [0, 1])
def test_a_full_disk_costs_one_checkpoint_and_one_line(rank, tmp_path):
    """Of either rank; the others go on with it."""
    full = dict(type='FullDiskHook', at=6, rank=rank)
    settings = dict(
        by_epoch=False, interval=3, max_keep_ckpts=1, hooks=[full])
    assert train(tmp_path, **settings) == [(0, 12)] * 2
    assert [p.name for p in tmp_path.glob('*.pth')] == ['iter_12.pth']
    assert list(tmp_path.glob('.*')) == []
    check_checkpoint(tmp_path / 'iter_12.pth')
    log = log_of(tmp_path)
    assert log.count('iter_6.pth could not be saved (File too large)') == 1
    assert 'Traceback' not in log


def test_a_kill_between_two_names_loses_nothing(tmp_path):
    """A folder was to take the place of another one of its name."""
    for name, content in (('.one.pth.replaced', 'old'), ('two.pth', 'new'),
                          ('.two.pth.replaced', 'old')):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'of').write_text(content)
    put_back(tmp_path)
    assert {
        path.name: Path(path, 'of').read_text()
        for path in tmp_path.iterdir()
    } == {
        'one.pth': 'old',
        'two.pth': 'new'
    }
