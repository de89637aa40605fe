"""What a run can go on from, and how the rest is refused."""
import pytest
import torch

from agvm_mm.compat.checkpoint import check_checkpoint, load
from agvm_mm.recovery.newest import find_newest
from agvm_mm.recovery.resumable import check_resume
from tests.test_recovery.runs import train


def save(path, zipped=True, **parts):
    """A file that MMEngine can go on from, as far as it is looked at."""
    whole = dict(
        meta=dict(iter=1), message_hub={}, state_dict={}, optimizer={})
    torch.save(
        dict(whole, **parts), path, _use_new_zipfile_serialization=zipped)


def test_a_run_without_agvm_is_told_how_to_go_on(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    save(path, optimizer=dict(state={}, agvm={}))
    with pytest.raises(ValueError, match=r'with AGVM.*agvm\.end=0; to take'):
        check_resume(path, with_agvm=False)
    check_resume(path, with_agvm=True)
    # Of several optimizers, each by its name.
    save(path, optimizer=dict(a=dict(state={}), b=dict(state={}, agvm={})))
    with pytest.raises(ValueError, match='was written with AGVM'):
        check_resume(path, with_agvm=False)
    save(path, optimizer=dict(state={}))
    check_resume(path, with_agvm=False)
    save(path, zipped=False)  # Of torch before 1.6.
    check_resume(path, with_agvm=False)
    check_resume('https://example.com/epoch_1.pth', with_agvm=False)


def test_a_home_folder_is_found_as_mmengine_finds_it(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    save(tmp_path / 'a.pth', optimizer=dict(state={}, agvm={}))
    with pytest.raises(ValueError, match='was written with AGVM'):
        check_resume('~/a.pth', with_agvm=False)


@pytest.mark.parametrize('by_iteration', [False, True])
@pytest.mark.parametrize('kind',
                         ['TotalBatchRunner', 'TotalBatchFlexibleRunner'])
def test_no_run_goes_on_from_weights_alone(kind, by_iteration, tmp_path):
    settings = dict(runner_type=kind, by_iteration=by_iteration)
    train(tmp_path, **settings)
    whole = load(max(tmp_path.glob('*.pth')))
    weights = whole['state_dict']
    for number, content in enumerate([
            weights,
            dict(state_dict=weights),
            dict(state_dict=weights, meta=whole['meta']),
            dict(whole, meta=dict(epoch=1)),
            dict(whole, meta=None),
            {part: whole[part]
             for part in whole if part != 'optimizer'},  # As the best.
    ]):
        path = tmp_path / f'weights_{number}'
        torch.save(content, path)
        with pytest.raises(
                ValueError,
                match=rf'checkpoint {path} holds weights alone.*set load_from '
                r'and leave --resume out.*load_from=None'):
            train(
                tmp_path / f'run_{number}',
                resume=True,
                load_from=str(path),
                **settings)


def test_a_folder_of_another_library_is_left_to_it(tmp_path):
    """DeepSpeed's, by its names of files; its library is not here."""
    folder = tmp_path / 'epoch_1.pth'
    folder.mkdir()
    with pytest.raises(ValueError, match=r'run\.pth, which is written last'):
        check_checkpoint(folder)
    (folder / 'mp_rank_00_model_states.pt').touch()
    check_checkpoint(folder)
    check_resume(folder, with_agvm=True)
    # A run with another strategy is told, by itself or by name.
    assert find_newest(tmp_path).passed_over == [
        'last_checkpoint (missing)', "epoch_1.pth (another library's)"
    ]
    with pytest.raises(ValueError, match='its own strategy alone reads: go'):
        train(
            tmp_path / 'other',
            runner_type='TotalBatchRunner',
            resume=True,
            load_from=str(folder))
    (folder / '__0_0.distcp').touch()
    with pytest.raises(ValueError, match=r'run\.pth, which is written last'):
        check_checkpoint(folder)
