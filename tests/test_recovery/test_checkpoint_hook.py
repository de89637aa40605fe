"""What is in the folder of a run after a save, done or failed."""
import resource
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS

from agvm_mm.compat.checkpoint import check_checkpoint, load
from agvm_mm.compat.digest import is_as_written
from tests.faults.test_faults import assert_equal
from tests.stack import safe_loader
from tests.test_recovery.runs import (
    files,
    log_of,
    plain_hook,
    run_config,
    train,
)

KINDS = dict(
    iterations=dict(
        by_iteration=True,
        checkpoint=dict(by_epoch=False, filename_tmpl='model{}.pt'),
        custom_hooks=[dict(type='EMAHook')]),
    bests=dict(
        validates=True,
        checkpoint=dict(save_best=['acc', 'loss'], max_keep_ckpts=1)),
    published=dict(
        validates=True,
        checkpoint=dict(
            interval=2,
            save_best='auto',
            published_keys=['meta', 'state_dict'])),
)


@pytest.mark.parametrize('kind', KINDS)
def test_it_saves_what_mmengines_saves(kind, tmp_path):
    ours = train(tmp_path / 'a', **KINDS[kind])
    theirs = RUNNERS.build(
        plain_hook(run_config(tmp_path / 'b', **KINDS[kind])))
    theirs.train()
    kept = files(tmp_path / 'a')
    same = {'meta', 'state_dict'}
    if kind == 'published':
        # The name holds a digest of all, times included.
        published = [n for n in kept if '-' in n]
        assert len(published) == 2
        kept = {n.partition('-')[0].replace('.pth', '') for n in kept}
        assert kept == {
            n.partition('-')[0].replace('.pth', '')
            for n in files(tmp_path / 'b')
        }
        for name in published:
            assert set(load(tmp_path / 'a' / name)) == same
            check_checkpoint(tmp_path / 'a' / name)
        return
    assert kept == files(tmp_path / 'b')
    for name in kept - {'last_checkpoint'}:
        if not name.endswith(('.pth', '.pt')):
            continue
        assert is_as_written(tmp_path / 'a' / name)
        one, other = (load(tmp_path / f / name) for f in 'ab')
        assert set(one) == set(other)
        for key in set(one) - {'meta', 'message_hub'}:
            assert_equal(one[key], other[key], key)
        for key in ('epoch', 'iter', 'updates'):
            assert one['meta'].get(key) == other['meta'].get(key)
        infos = [c['message_hub']['runtime_info'] for c in (one, other)]
        for key in ('keep_ckpt_ids', 'best_score', 'best_score_acc'):
            assert infos[0].get(key) == infos[1].get(key), key
    assert Path(ours.message_hub.get_info('last_ckpt')).name == Path(
        theirs.message_hub.get_info('last_ckpt')).name


@contextmanager
def small_disk(size):
    """No file grows beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class FullFrom(Hook):
    """The disk is full in one epoch, from its last update on."""

    priority = 'VERY_HIGH'

    def __init__(self, epoch, size=100_000):
        self.epoch = epoch
        self.size = size
        self.full = None

    def after_train_epoch(self, runner):
        if runner.epoch + 1 == self.epoch:
            self.full = small_disk(self.size)
            self.full.__enter__()

    def before_train_epoch(self, runner):
        self.after_train(runner)

    def after_train(self, runner):
        if self.full is not None:
            self.full.__exit__(None, None, None)
            self.full = None


@pytest.mark.parametrize('runner_type',
                         ['TotalBatchRunner', 'TotalBatchFlexibleRunner'])
def test_a_full_disk_costs_one_checkpoint_and_one_line(tmp_path, runner_type):
    settings = dict(
        runner_type=runner_type,
        validates=True,
        checkpoint=dict(max_keep_ckpts=1, save_best='acc'))
    saved = []

    class Look(Hook):
        priority = 'LOWEST'

        def after_val_epoch(self, runner, metrics=None):
            saved.append((files(tmp_path), (tmp_path /
                                            'last_checkpoint').read_text()))

    runner = train(tmp_path, FullFrom(2), Look(), **settings)
    first = {'epoch_1.pth', 'best_acc_epoch_1.pth', 'last_checkpoint'}
    assert saved[0] == (first, 'epoch_1.pth')
    assert saved[1] == (first, 'epoch_1.pth')
    # 0.2 is better than the first: the best that was lost is not in the way.
    assert saved[2] == ({
        'epoch_3.pth', 'best_acc_epoch_3.pth', 'last_checkpoint'
    }, 'epoch_3.pth')
    log = log_of(tmp_path)
    for name in ('epoch_2.pth', 'best_acc_epoch_2.pth'):
        lines = [
            line for line in log.splitlines()
            if f' {name} could not be saved (File too large)' in line
        ]
        assert len(lines) == 1
    assert 'Traceback' not in log
    check_checkpoint(tmp_path / 'epoch_3.pth')
    assert runner.message_hub.get_info('best_score') == 0.2
    assert list(runner.message_hub.get_info('keep_ckpt_ids')) == [3]


def test_a_full_disk_at_the_first_checkpoint(tmp_path):
    """There was no best, nor a last one, before."""
    runner = train(
        tmp_path,
        FullFrom(1),
        validates=True,
        checkpoint=dict(max_keep_ckpts=1, save_best='acc'))
    assert files(tmp_path) == {
        'epoch_3.pth', 'best_acc_epoch_2.pth', 'last_checkpoint'
    }
    assert runner.message_hub.get_info('best_score') == 0.3


class Keeps(Hook):
    """Something in the message hub, of which checkpoints hold all."""

    def __init__(self, what):
        self.what = what

    def before_train(self, runner):
        runner.message_hub.update_info('kept', self.what)


@safe_loader
@pytest.mark.parametrize('runner_type', ['Runner', 'FlexibleRunner'])
@pytest.mark.parametrize(('what', 'warnings'), [(Path('a'), 1), (['a'], 0)])
def test_what_could_not_be_resumed_is_told_at_the_first_save(
        what, warnings, runner_type, tmp_path):
    train(tmp_path, Keeps(what), runner_type=runner_type)
    log = log_of(tmp_path)
    assert log.count('So no run could go on') == warnings
    assert log.count('epoch_1.pth holds pathlib.') == warnings


TWO_EPOCHS = {'train_cfg.max_epochs': 2}


def test_a_copy_of_a_run_leaves_its_best_alone(tmp_path):
    best = dict(
        validates=True, checkpoint=dict(save_best='loss', rule='less'))
    train(tmp_path / 'run', **best, **TWO_EPOCHS)
    shutil.copytree(tmp_path / 'run', tmp_path / 'copy')
    kept = files(tmp_path / 'run')
    train(tmp_path / 'copy', resume=True, **best)
    assert files(tmp_path / 'run') == kept
    assert 'best_loss_epoch_2.pth' in kept
    assert {n for n in files(tmp_path / 'copy')
            if 'best' in n} == {'best_loss_epoch_3.pth'}


@pytest.mark.parametrize('bests', ['acc', ['acc', 'loss']])
def test_a_run_from_the_checkpoint_of_another_publishes_its_own(
        bests, tmp_path):
    settings = dict(
        validates=True,
        checkpoint=dict(
            save_best=bests,
            rule='greater',
            published_keys=['meta', 'state_dict']))
    train(tmp_path / 'one', **settings, **TWO_EPOCHS)
    kept = files(tmp_path / 'one')
    # Its third epoch is no new best.
    train(
        tmp_path / 'other',
        resume=True,
        load_from=str(tmp_path / 'one/epoch_2.pth'),
        **settings)
    assert files(tmp_path / 'one') == kept
    names = files(tmp_path / 'other') - {'epoch_3.pth', 'last_checkpoint'}
    assert [name.partition('-')[0] for name in names] == ['epoch_3']


def test_a_full_disk_at_the_end_publishes_nothing(tmp_path):
    settings = dict(
        checkpoint=dict(published_keys=['state_dict'], max_keep_ckpts=1))
    full = FullFrom(3)
    full.after_train = lambda runner: None
    try:
        train(tmp_path, full, **settings)
    finally:
        FullFrom.after_train(full, None)
    assert files(tmp_path) == {'epoch_2.pth', 'last_checkpoint'}
    log = log_of(tmp_path)
    assert 'epoch_2.pth was not published (File too large)' in log
    assert log.count('epoch_3.pth could not be saved (') == 1
    assert log.count('What the training ended with could not be saved') == 1
    assert 'Traceback' not in log
    check_checkpoint(tmp_path / 'epoch_2.pth')


def test_a_folder_that_vanished_is_made_again(tmp_path):
    out = tmp_path / 'out'

    class Vanish(Hook):

        def before_train_epoch(self, runner):
            if runner.epoch == 1:
                (out / 'work').rename(tmp_path / 'gone')
            if runner.epoch == 2:
                (out / 'work').rename(tmp_path / 'gone too')
                (out / 'work').write_text('in the way')

    train(tmp_path / 'work', Vanish(), checkpoint=dict(out_dir=str(out)))
    assert files(tmp_path / 'gone too') == {'epoch_2.pth'}
    assert (out / 'work').read_text() == 'in the way'
    log = log_of(tmp_path / 'work')
    assert log.count('epoch_3.pth could not be saved (') == 1
    check_checkpoint(tmp_path / 'gone too/epoch_2.pth')


def test_the_last_checkpoint_is_tried_again(tmp_path):
    """There is no next one."""
    train(tmp_path, FullFrom(3))  # Until its after_train.
    log = log_of(tmp_path)
    assert log.count('epoch_3.pth could not be saved (') == 1
    assert 'What the training ended with' not in log
    assert (tmp_path / 'last_checkpoint').read_text() == 'epoch_3.pth'
    check_checkpoint(tmp_path / 'epoch_3.pth')


@pytest.mark.parametrize('by_iteration', [False, True])
@pytest.mark.parametrize('runner_type',
                         ['TotalBatchRunner', 'TotalBatchFlexibleRunner'])
def test_a_checkpoint_with_a_new_best_is_of_its_own_update(
        tmp_path, runner_type, by_iteration):
    settings = dict(
        runner_type=runner_type,
        by_iteration=by_iteration,
        validates=True,
        checkpoint=dict(save_best='acc', by_epoch=not by_iteration))
    train(tmp_path / 'whole', **settings)
    for path in (tmp_path / 'whole').glob('*.pth'):
        if not path.name.startswith('best'):
            meta = load(path)['meta']
            name, _, number = path.stem.partition('_')
            assert meta['epoch' if name == 'epoch' else 'iter'] == int(number)
            assert meta['updates'] == load(path)['optimizer']['agvm'][
                'updates'], path.name


def test_what_was_cut_after_its_last_checkpoint_is_published_once(tmp_path):

    class Cut(Hook):
        priority = 'HIGHEST'

        def after_val_epoch(self, runner, metrics=None):
            if runner.epoch == 3:
                raise KeyboardInterrupt

    settings = dict(
        validates=True, checkpoint=dict(published_keys=['state_dict']))
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, Cut(), **settings)
    for _ in range(2):
        train(tmp_path, resume=True, **settings)
        assert len([*tmp_path.glob('epoch_3-*.pth')]) == 1


def test_a_checkpoint_that_reads_other_than_written_gets_no_name(
        tmp_path, monkeypatch):
    """A disk that returns other bytes than it was given."""
    from mmengine.fileio import LocalBackend
    put = LocalBackend.put

    def bad_disk(self, content, path):
        content = bytearray(content)
        if 'epoch_2' in str(path):
            content[len(content) // 2] ^= 1
        put(self, bytes(content), path)

    monkeypatch.setattr(LocalBackend, 'put', bad_disk)
    train(tmp_path, checkpoint=dict(max_keep_ckpts=3))
    assert files(tmp_path) == {
        'epoch_1.pth', 'epoch_3.pth', 'last_checkpoint'
    }
    assert 'epoch_2.pth could not be saved (' in log_of(tmp_path)


def test_other_storages_are_mmengines(tmp_path, monkeypatch):
    from mmengine.fileio import BaseStorageBackend

    class Other(BaseStorageBackend):
        """Of which nothing more is known."""

        def get(self, filepath):
            raise NotImplementedError

        get_text = get

    from agvm_mm.recovery.saving import saves_files
    runner = RUNNERS.build(run_config(tmp_path))
    assert not saves_files(runner, Other())


@pytest.mark.parametrize('setting', [
    dict(file_client_args=dict(backend='disk')),
    dict(backend_args=dict(backend='local')),
])
def test_the_file_system_by_any_name(tmp_path, setting):
    train(tmp_path, checkpoint=setting)
    assert (tmp_path / 'last_checkpoint').read_text() == 'epoch_3.pth'
    assert is_as_written(tmp_path / 'epoch_3.pth')


@pytest.mark.parametrize(('stated', 'hook'), [
    (None, 'SafeCheckpointHook'),
    (dict(checkpoints=True), 'SafeCheckpointHook'),
    (dict(checkpoints=False), 'CheckpointHook'),
])
def test_resolve_puts_it_in_the_place_of_mmengines(tmp_path, stated, hook):
    cfg = run_config(tmp_path, recovery=stated)
    assert cfg.default_hooks.checkpoint.type == hook
    assert cfg.default_hooks.checkpoint.interval == 1
    names = [type(h).__name__ for h in RUNNERS.build(cfg).hooks]
    assert names.count(hook) == 1
    assert sum('CheckpointHook' in name for name in names) == 1


def test_a_run_that_is_to_save_nothing_saves_nothing(tmp_path):
    cfg = run_config(tmp_path, **{'default_hooks.checkpoint': None})
    RUNNERS.build(cfg).train()
    assert files(tmp_path) == set()
