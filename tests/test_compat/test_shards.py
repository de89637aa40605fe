"""Checkpoints in shards: on other numbers of ranks, and not whole."""
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from mmengine.registry import RUNNERS
from torch.distributed._shard.sharded_tensor.metadata import TensorProperties

from agvm_mm.compat.checkpoint import check_checkpoint, load
from agvm_mm.compat.shard_files import METADATA, RUN
from agvm_mm.compat.shard_metadata import SafeReader
from agvm_mm.compat.shards import load_whole
from agvm_mm.recovery.newest import find_newest
from tests.distributed import run_ranks
from tests.faults.test_faults import assert_equal
from tests.stack import fsdp
from tests.test_large_batch.test_sampler import toy_config

pytestmark = fsdp
ADAMW = dict(type='AdamW', lr=0.01)


def train(rank,
          work_dir,
          ranks,
          state_dict_cfg='sharded',
          resume=False,
          updates=8):
    """Train the toy: 12 images an update, of which a rank takes two."""
    os.environ.update(LOCAL_RANK=str(rank), RANK=str(rank))
    cfg = toy_config(work_dir, by_iteration=True)
    cfg.runner_type = 'TotalBatchRunner'
    cfg.launcher = 'none' if ranks == 1 else 'pytorch'
    if ranks > 1:
        cfg.runner_type = 'TotalBatchFlexibleRunner'
        cfg.strategy = dict(
            type='AGVMFSDPStrategy',
            state_dict_cfg=state_dict_cfg,
            model_wrapper=dict(
                auto_wrap_policy=dict(
                    type='wrap_classes', classes=['Linear'])))
    cfg.env_cfg = dict()
    cfg.train_cfg.max_iters = updates
    cfg.total_batch_size, cfg.max_samples_per_gpu = 12, 2
    cfg.optim_wrapper.pop('accumulative_counts', None)
    cfg.optim_wrapper.optimizer = dict(ADAMW)
    cfg.param_scheduler = None
    cfg.default_hooks = dict(
        checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=4))
    cfg.resume = resume
    cfg.experiment_name = f'{Path(work_dir).name}_{ranks}_{resume}'
    RUNNERS.build(cfg).train()
    if dist.is_initialized():
        dist.barrier()


def saved(work_dir, ranks, updates=8):
    return Path(work_dir) / f'iter_{updates * 6 // ranks}.pth'


@pytest.fixture(scope='module', name='whole')
def _whole(tmp_path_factory):
    """A run on two ranks, with its checkpoints of updates 4 and 8."""
    work_dir = tmp_path_factory.mktemp('runs') / 'whole'
    run_ranks(train, 2, work_dir, 2)
    return work_dir


def cut(whole, target):
    """A work dir as if the run had been cut off after update 4."""
    target.mkdir()
    name = saved(whole, 2, 4).name
    shutil.copytree(whole / name, target / name)
    (target / 'last_checkpoint').write_text(name)
    return target


def assert_close(one, other):
    """The same but for rounding: the squares are of single precision."""
    assert one.keys() == other.keys()
    for key, value in one.items():
        if isinstance(value, dict):
            assert_close(value, other[key])
        elif isinstance(value, torch.Tensor):
            torch.testing.assert_close(
                value, other[key], rtol=1e-7, atol=1e-9)
        elif isinstance(value, float):
            assert value == pytest.approx(other[key], rel=1e-6), key


def test_the_files_of_a_checkpoint(whole):
    folder = saved(whole, 2)
    assert {p.name for p in folder.iterdir()} == {
        '__0_0.distcp', '__1_0.distcp', METADATA, RUN
    }
    assert (whole / 'last_checkpoint').read_text() == folder.name
    assert not list(whole.glob('.*'))
    check_checkpoint(folder)
    assert find_newest(whole) == (str(folder), [])
    assert load(folder)['meta']['updates'] == 8


def test_on_as_many_ranks_a_run_goes_on_to_the_bit(whole, tmp_path):
    work_dir = cut(whole, tmp_path / 'cut')
    run_ranks(train, 2, work_dir, 2, 'sharded', True)
    expected = load_whole(saved(whole, 2))
    resumed = load_whole(saved(work_dir, 2))
    for part in ('state_dict', 'optimizer'):
        assert_equal(resumed[part], expected[part], part)
    assert expected['optimizer']['agvm']['lr_scale']['neck'] != 1


@pytest.mark.parametrize('ranks', [1, 3])
def test_on_another_number_of_ranks(whole, ranks, tmp_path):
    """On one, without FSDP."""
    work_dir = cut(whole, tmp_path / 'cut')
    run_ranks(train, ranks, work_dir, ranks, 'sharded', True)
    expected = load_whole(saved(whole, 2))
    resumed = load_whole(saved(work_dir, ranks))
    assert_close(resumed['state_dict'], expected['state_dict'])
    states = [c['optimizer'] for c in (resumed, expected)]
    assert_close(*(s['agvm'] for s in states))
    if ranks > 1:
        assert_close(*(s['state'] for s in states))


def test_a_file_in_the_place_of_shards_and_back(whole, tmp_path):
    """The whole state in one file is the same, and goes on in shards."""
    work_dir = tmp_path / 'file'
    run_ranks(train, 2, work_dir, 2, 'full')
    expected = load_whole(saved(whole, 2))
    file = load_whole(saved(work_dir, 2))
    for part in ('state_dict', 'optimizer'):
        assert_equal(dict(file[part]), expected[part], part)
    (work_dir / 'last_checkpoint').write_text(saved(work_dir, 2, 4).name)
    saved(work_dir, 2).unlink()
    run_ranks(train, 2, work_dir, 2, 'sharded', True)
    resumed = load_whole(saved(work_dir, 2))
    for part in ('state_dict', 'optimizer'):
        assert_equal(resumed[part], expected[part], part)


def test_from_one_process_without_fsdp(whole, tmp_path):
    run_ranks(train, 1, tmp_path, 1, 'full', False, 4)
    run_ranks(train, 2, tmp_path, 2, 'sharded', True)
    expected = load_whole(saved(whole, 2))
    resumed = load_whole(saved(tmp_path, 2))
    for part in ('state_dict', 'optimizer'):
        assert_close(
            {k: v
             for k, v in resumed[part].items() if k != 'param_groups'},
            {k: v
             for k, v in expected[part].items() if k != 'param_groups'})


def test_torch_makes_one_file_of_it(whole, tmp_path):
    """What the command of docs/fsdp.md calls."""
    format_utils = pytest.importorskip(
        'torch.distributed.checkpoint.format_utils')
    file = tmp_path / 'one.pth'
    format_utils.dcp_to_torch_save(str(saved(whole, 2)), str(file))
    assert_equal(
        load(file)['state_dict'],
        load_whole(saved(whole, 2))['state_dict'])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def shorten(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(('name', 'damage', 'why'), [
    (RUN, Path.unlink, f'is not whole: {RUN}, which is written last, is m'),
    (METADATA, Path.unlink, f'is not whole: {METADATA} is missing'),
    ('__1_0.distcp', Path.unlink, 'is not whole: __1_0.distcp is missing'),
    ('__1_0.distcp', shorten, r'is not whole: __1_0.distcp has \d+ bytes'),
    ('__1_0.distcp', flip, 'is not whole: __1_0.distcp is not what its dig'),
    (RUN, flip, 'is damaged: its content is not what its digest says'),
])
def test_what_is_not_whole_is_passed_over(whole, name, damage, why, tmp_path):
    for updates in (4, 8):
        folder = saved(whole, 2, updates)
        shutil.copytree(folder, tmp_path / folder.name)
    shutil.copy(whole / 'last_checkpoint', tmp_path)
    newest = saved(tmp_path, 2)
    damage(newest / name)
    with pytest.raises(ValueError, match=why):
        check_checkpoint(newest)
    path, (told, ) = find_newest(tmp_path)
    assert path == str(saved(tmp_path, 2, 4))
    assert told.startswith(f'{newest.name} (')
    assert '\n' not in told


def test_the_metadata_of_torch_2_1_and_2_2(tmp_path):
    """They kept a tensor's properties in a class of another module."""
    theirs = TensorProperties(dtype=torch.float16)
    (tmp_path / METADATA).write_bytes(pickle.dumps(theirs))
    assert SafeReader(tmp_path).read_metadata() == theirs


def test_shards_that_each_rank_wrote_for_itself_are_refused(tmp_path):
    (tmp_path / 'rank0.pth').write_bytes(b'PK')
    with pytest.raises(
            ValueError, match=r"is a folder.*state_dict_cfg='full'"):
        check_checkpoint(tmp_path)


class Acts:

    def __reduce__(self):
        return os.mkdir, ('acted', )


@pytest.mark.parametrize('crafted', [Acts(), torch.nn.Linear])
def test_metadata_that_could_act_is_refused(crafted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / METADATA).write_bytes(pickle.dumps(crafted))
    with pytest.raises(pickle.UnpicklingError, match='could run code'):
        SafeReader(str(tmp_path)).read_metadata()
    assert not (tmp_path / 'acted').exists()
