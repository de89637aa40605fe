"""Which checkpoint a run goes on from, whatever was done to its folder."""
import os
import shutil

import pytest
import torch
from mmengine.registry import RUNNERS
from mmengine.runner import find_latest_checkpoint

from agvm_mm.recovery.newest import find_newest
from tests.test_recovery.runs import log_of, run_config, train

TIMES = ('epoch_1.pth', 'epoch_2.pth', 'epoch_3.pth', 'last_checkpoint')


@pytest.fixture(scope='module', name='finished')
def _finished(tmp_path_factory):
    """The folder of a run that kept its three checkpoints."""
    folder = tmp_path_factory.mktemp('runs') / 'finished'
    train(folder, checkpoint=dict(max_keep_ckpts=3))
    return folder


@pytest.fixture(name='folder')
def _folder(finished, tmp_path):
    """A copy, with its times."""
    folder = tmp_path / 'moved'
    shutil.copytree(finished, folder)
    return folder


def epoch(number):
    return f'epoch_{number}.pth'


def change(path, change):
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)


def cut(content):
    del content[len(content) // 2:]


def zero(content):
    content[40_000:44_096] = bytes(4096)


def flip(content):
    content[len(content) // 2] ^= 1


def empty(content):
    content.clear()


def test_it_is_relative_and_a_moved_folder_is_itself(finished, folder):
    assert (folder / 'last_checkpoint').read_text() == epoch(3)
    assert find_latest_checkpoint(str(folder)) == epoch(3)
    assert find_newest(folder) == (str(folder / epoch(3)), [])
    # What MMEngine itself wrote there before.
    (folder / 'last_checkpoint').write_text(f'/gone/{epoch(3)}')
    assert find_newest(folder) == (str(folder / epoch(3)), [])


@pytest.mark.parametrize(('content', 'why'), [
    (None, 'last_checkpoint (missing)'),
    ('', 'last_checkpoint (empty)'),
    (' \n', 'last_checkpoint (empty)'),
    ('/gone/epoch_9.pth',
     'last_checkpoint (names /gone/epoch_9.pth, which is not there)'),
    ('x' * 5000,
     f'last_checkpoint (names {"x" * 5000}, which is not there)'),
    # As of a machine that lost its power, and of a disk that fails.
    (b'\0' * 11, 'last_checkpoint (is damaged)'),
    (b'epoch\xff3.pth', 'last_checkpoint (is damaged)'),
])
def test_what_last_checkpoint_does_not_tell(folder, content, why):
    pointer = folder / 'last_checkpoint'
    if content is None:
        pointer.unlink()
    elif isinstance(content, bytes):
        pointer.write_bytes(content)
    else:
        pointer.write_text(content)
    assert find_newest(folder) == (str(folder / epoch(3)), [why])


@pytest.mark.parametrize(('damage', 'why'), [
    (cut, 'is cut short'),
    (empty, 'is cut short'),
    (zero, 'is damaged'),
    (flip, 'is damaged'),
])
def test_the_newest_is_not_whole(folder, damage, why):
    change(folder / epoch(3), damage)
    path, passed_over = find_newest(folder)
    assert path == str(folder / epoch(2))
    assert len(passed_over) == 1
    assert passed_over[0].startswith(f'{epoch(3)} ({why}')
    change(folder / epoch(2), damage)
    path, passed_over = find_newest(folder)
    assert path == str(folder / epoch(1))
    assert [p.split()[0] for p in passed_over] == [epoch(3), epoch(2)]


def test_a_stale_last_checkpoint(folder):
    """The run was cut off between the file and its name there."""
    pointer = folder / 'last_checkpoint'
    pointer.write_text(epoch(2))
    written = (folder / epoch(2)).stat().st_mtime_ns
    os.utime(pointer, ns=(written + 1, written + 1))
    assert find_newest(folder) == (str(folder / epoch(3)), [])


def test_a_run_that_went_back_goes_on_from_there(folder):
    """From epoch 1, which was named; the others are of before."""
    pointer = folder / 'last_checkpoint'
    pointer.write_text(epoch(2))
    assert find_newest(folder) == (str(folder / epoch(2)), [])


def test_what_no_run_goes_on_from(folder):
    weights = torch.load(folder / epoch(3), weights_only=False)['state_dict']
    torch.save(dict(state_dict=weights), folder / 'epoch_3-1234abcd.pth')
    shutil.copy(folder / epoch(1), folder / 'best_acc_epoch_7.pth')
    shutil.copy(folder / epoch(1), folder / '.epoch_9.pth.writing')
    (folder / 'latest.pth').symlink_to('nowhere.pth')
    torch.save(
        dict(state_dict=weights, meta=None, message_hub={}),
        folder / 'epoch_8.pth')
    assert find_newest(folder)[0] == str(folder / epoch(3))
    for number in (1, 2, 3):
        (folder / epoch(number)).unlink()
    path, passed_over = find_newest(folder)
    assert path is None
    assert passed_over == [
        f'last_checkpoint (names {epoch(3)}, which is not there)'
    ]
    (folder / 'last_checkpoint').unlink()
    assert find_newest(folder)[0] is None


def test_names_of_two_kinds_are_compared_by_what_they_hold(folder):
    """As of a run that was told to stop in the middle of an epoch."""
    later = torch.load(folder / epoch(3), weights_only=False)
    later['meta']['updates'] += 1
    torch.save(later, folder / 'iter_5.pth')
    assert find_newest(folder)[0] == str(folder / 'iter_5.pth')
    later['meta']['updates'] -= 2
    torch.save(later, folder / 'iter_5.pth')
    assert find_newest(folder)[0] == str(folder / epoch(3))


def test_a_number_counts_iterations_and_what_is_done_is_updates(folder):
    """A run that went on with more processes, so with fewer of them."""
    later = torch.load(folder / epoch(3), weights_only=False)
    done = later['meta']['updates']
    for number, updates in ((44, done + 1), (24, done + 2)):
        later['meta'].update(iter=number, updates=updates)
        path = folder / f'iter_{number}.pth'
        torch.save(later, path)
        # A file system's clock may not tell two that are saved at once apart.
        os.utime(path, (2e9 + updates, 2e9 + updates))
    (folder / 'last_checkpoint').unlink()
    assert find_newest(folder)[0] == str(folder / 'iter_24.pth')


RUNNERS_OF_ALL_KINDS = ('Runner', 'TotalBatchRunner',
                        'TotalBatchFlexibleRunner')


@pytest.mark.parametrize('runner_type', RUNNERS_OF_ALL_KINDS)
def test_runs_pass_over_what_is_not_whole(folder, runner_type, monkeypatch):
    change(folder / epoch(3), flip)
    monkeypatch.chdir('/')
    runner = train(
        folder,
        runner_type=runner_type,
        checkpoint=dict(max_keep_ckpts=3),
        resume=True)
    log = log_of(folder)
    assert log.count(f'Resume passes over {epoch(3)} (is damaged') == 1
    assert f'resumed epoch: 2, iter: {runner.iter // 3 * 2}' in log
    assert find_newest(folder) == (str(folder / epoch(3)), [])


@pytest.mark.parametrize('runner_type', RUNNERS_OF_ALL_KINDS)
def test_nothing_whole_is_refused_and_not_trained_anew(folder, runner_type):
    for number in (1, 2, 3):
        change(folder / epoch(number), cut)
    before = {p.name: p.read_bytes() for p in folder.glob('*.pth')}
    with pytest.raises(ValueError, match='holds no whole checkpoint') as error:
        train(folder, runner_type=runner_type, resume=True)
    assert str(error.value).count('is cut short') == 3
    assert '\n' not in str(error.value)
    assert before == {p.name: p.read_bytes() for p in folder.glob('*.pth')}


@pytest.mark.parametrize('runner_type', RUNNERS_OF_ALL_KINDS)
def test_checkpoints_without_their_optimizer_are_refused(
        tmp_path, runner_type):
    """And not trained anew over them, nor with an optimizer that is new."""
    settings = dict(
        runner_type=runner_type, checkpoint=dict(save_optimizer=False))
    train(tmp_path, **settings)
    with pytest.raises(ValueError, match=r'epoch_3\.pth \(without optimizer'):
        train(tmp_path, resume=True, **settings)


@pytest.mark.parametrize('runner_type', RUNNERS_OF_ALL_KINDS)
def test_what_was_only_begun_is_no_checkpoint(tmp_path, runner_type):
    begun = tmp_path / '.epoch_1.pth.writing'
    begun.write_bytes(b'PK')
    train(tmp_path, runner_type=runner_type, resume=True)
    assert 'holds no checkpoint to resume: the training starts anew' in log_of(
        tmp_path)
    assert not begun.exists()


def test_checkpoints_elsewhere_and_of_other_names(tmp_path):
    settings = dict(
        checkpoint=dict(
            out_dir=str(tmp_path / 'out'), filename_tmpl='model{}.ckpt'))
    train(tmp_path / 'work', **settings)
    out = tmp_path / 'out/work'
    pointer = tmp_path / 'work/last_checkpoint'
    assert pointer.read_text() == str(out / 'model3.ckpt')
    pointer.unlink()
    change(out / 'model3.ckpt', flip)
    cfg = run_config(tmp_path / 'work', resume=True, **settings)
    RUNNERS.build(cfg).train()
    log = log_of(tmp_path / 'work')
    assert ('Resume passes over last_checkpoint (missing), model3.ckpt (is '
            'damaged') in log
    assert f'from the latest checkpoint {out}/model2.ckpt.' in log
