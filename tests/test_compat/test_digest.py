import shutil
import subprocess

import pytest
import torch
from mmengine.runner import load_checkpoint

from agvm_mm.compat.checkpoint import check_checkpoint, load
from agvm_mm.compat.digest import LENGTH, is_as_written, seal

WEIGHT = torch.arange(6.)


@pytest.fixture(name='sealed')
def _sealed(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(state_dict=dict(weight=WEIGHT)), path)
    seal(path)
    return path


def test_a_sealed_checkpoint_loads_everywhere(sealed):
    check_checkpoint(sealed)
    copy = sealed.with_name('copy.pth')
    shutil.copy(sealed, copy)
    assert is_as_written(copy)
    model = torch.nn.Linear(6, 1, bias=False)
    model.weight.data = model.weight.data.flatten()
    load_checkpoint(model, str(copy), strict=True)
    assert torch.equal(model.weight, WEIGHT)
    assert torch.equal(load(copy)['state_dict']['weight'], WEIGHT)


def test_the_digest_can_be_checked_by_hand(sealed):
    said = subprocess.run(
        f'head -c -{LENGTH} {sealed} | sha256sum',
        shell=True,
        check=True,
        stdout=subprocess.PIPE).stdout
    assert LENGTH == 79
    assert sealed.read_bytes().endswith(said.split()[0])


def test_a_byte_that_changed_anywhere_is_refused(sealed):
    whole = sealed.read_bytes()
    for place in range(0, len(whole), 3):
        broken = bytearray(whole)
        broken[place] ^= 1 << place % 8
        sealed.write_bytes(broken)
        with pytest.raises(ValueError, match=r'epoch_1\.pth'):
            check_checkpoint(sealed)
    sealed.write_bytes(whole)
    check_checkpoint(sealed)


def test_what_is_cut_or_holds_zeros_is_refused(sealed):
    whole = sealed.read_bytes()
    for size in range(0, len(whole), 7):
        sealed.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r'epoch_1\.pth'):
            check_checkpoint(sealed)
    for start in range(0, len(whole) - 64, 64):
        broken = whole[:start] + bytes(64) + whole[start + 64:]
        if broken == whole:
            continue
        sealed.write_bytes(broken)
        with pytest.raises(ValueError, match=r'epoch_1\.pth'):
            check_checkpoint(sealed)


def test_a_checkpoint_without_a_digest_loads_as_before(tmp_path):
    for zipped in (True, False):
        path = tmp_path / f'{zipped}.pth'
        torch.save(
            dict(state_dict=dict(weight=WEIGHT)),
            path,
            _use_new_zipfile_serialization=zipped)
        check_checkpoint(path)
    with pytest.raises(ValueError, match='is no archive that a digest'):
        seal(path)
