import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import load_checkpoint
from mmengine.utils import is_installed

from agvm_mm.compat.checkpoint import (
    allow_mmengine_checkpoints,
    check_checkpoint,
    check_resume,
)

CONFIGS = Path(__file__).parents[2] / 'configs'

pytestmark = pytest.mark.skipif(
    not hasattr(torch.serialization, 'add_safe_globals'),
    reason='this torch has no safe loader')


class Crafted:
    """Pickles as a call of whatever it is given."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def test_mmengines_logs_load(tmp_path):
    hub = MessageHub.get_instance('checkpoint')
    for value in (1.0, 2.0, 4.0):
        hub.update_scalar('train/loss', value)
    hub.update_scalar('train/np', np.float64(3))
    torch.save(dict(message_hub=hub.state_dict()), tmp_path / 'a.pth')
    allow_mmengine_checkpoints()
    loaded = torch.load(tmp_path / 'a.pth', weights_only=True)
    buffer = loaded['message_hub']['log_scalars']['train/loss']
    assert isinstance(buffer, HistoryBuffer)
    assert buffer.mean() == pytest.approx(7 / 3)
    assert (buffer.current(), buffer.min(), buffer.max()) == (4, 1, 4)


@pytest.mark.parametrize(
    'attack', [
        Crafted(os.system, 'touch {}'),
        Crafted(getattr, MessageHub, 'get_instance'),
        Crafted(getattr, HistoryBuffer, '__init__'),
        Crafted(getattr, HistoryBuffer, 'statistics'),
        Crafted(getattr, np.ndarray, 'tofile'),
        Crafted(eval, '1'),
        Crafted(np.load, 'x.npy'),
    ],
    ids=lambda attack: '-'.join(map(str, attack.call[1])))
def test_anything_else_is_refused(tmp_path, monkeypatch, attack):
    path = tmp_path / 'crafted.pth'
    canary = tmp_path / 'canary'
    function, args = attack.call
    if function is os.system:
        attack.call = function, (args[0].format(canary), )
    torch.save(dict(state_dict={}, payload=attack), path)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    if is_installed('onedl-mmengine'):
        if function is getattr:
            return  # Allowed there, but no call of what it finds.
        # As in both tools; it would fall back to the unsafe loader.
        monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '1')
    with pytest.raises(pickle.UnpicklingError):
        load_checkpoint(torch.nn.Linear(1, 1), str(path))
    assert not canary.exists()


@pytest.fixture(name='payload')
def _payload(tmp_path):
    """A checkpoint that makes a file when it is unpickled, and that file."""
    canary = tmp_path / 'canary'
    path = tmp_path / 'payload.pth'
    attack = Crafted(os.system, f'touch {canary}')
    torch.save(dict(meta={}, state_dict={}, message_hub=attack), path)
    torch.load(path, weights_only=False)
    assert canary.exists()  # The attack is one.
    canary.unlink()
    return path, canary


INIT_CFG = """
model = dict(backbone=dict(init_cfg=dict(
    _delete_=True, type='Pretrained', checkpoint='{payload}')))
"""


@pytest.mark.parametrize(('tool', 'arguments', 'more'), [
    ('train', ['--resume', '{payload}'], ''),
    ('train', ['--cfg-options', 'load_from={payload}'], ''),
    ('train', [], INIT_CFG),
    ('test', ['{payload}'], ''),
],
                         ids=['resume', 'load_from', 'init_cfg', 'test'])
def test_no_tool_runs_what_a_checkpoint_holds(tool, arguments, more, payload,
                                              digits, tmp_path, monkeypatch):
    path, canary = payload
    config = tmp_path / 'config.py'
    data = f"dataset=dict(data_root='{digits}')"
    evaluator = f"dict(ann_file='{digits}annotations/instances_val.json')"
    config.write_text(
        f"_base_ = '{CONFIGS}/digits/retinanet_r18_fpn_agvm_digits.py'\n"
        'optim_wrapper = dict(agvm=dict(begin=1))\n'
        f'train_dataloader = dict({data})\nval_dataloader = dict({data})\n'
        f'test_dataloader = dict({data})\nval_evaluator = {evaluator}\n'
        f'test_evaluator = {evaluator}\n'
        f"visualizer = dict(name='{tmp_path}')\n" + more.format(payload=path))
    arguments = [a.format(payload=path) for a in arguments]
    monkeypatch.setattr(
        sys, 'argv',
        [tool,
         str(config), *arguments, '--work-dir',
         str(tmp_path / 'work')])
    monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '0')
    with pytest.raises(pickle.UnpicklingError):
        __import__(tool).main()
    assert not canary.exists()
    # Not even for who asks for it.
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=False)


def test_a_checkpoint_that_is_cut_short_is_refused(tmp_path):
    whole = tmp_path / 'epoch_1.pth'
    torch.save(dict(state_dict={'weight': torch.zeros(1000)}), whole)
    check_checkpoint(whole)
    cut = tmp_path / 'epoch_2.pth'
    for size in (0, 100, whole.stat().st_size - 1):
        cut.write_bytes(whole.read_bytes()[:size])
        with pytest.raises(
                ValueError,
                match=r'epoch_2\.pth is cut short.*beside it: .*epoch_1\.pth'):
            check_checkpoint(cut)
    with pytest.raises(FileNotFoundError, match=r'epoch_3\.pth: there is no'):
        check_checkpoint(tmp_path / 'epoch_3.pth')
    # torch's format before 1.6 is no zip archive.
    torch.save({}, cut, _use_new_zipfile_serialization=False)
    check_checkpoint(cut)


def test_a_run_without_agvm_is_told_how_to_go_on(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(optimizer=dict(state={}, agvm={})), path)
    with pytest.raises(ValueError, match=r'with AGVM.*agvm\.end=0; to take'):
        check_resume(path, with_agvm=False)
    check_resume(path, with_agvm=True)
    # Of several optimizers, each by its name.
    states = dict(a=dict(state={}), b=dict(state={}, agvm={}))
    torch.save(dict(optimizer=states), path)
    with pytest.raises(ValueError, match='was written with AGVM'):
        check_resume(path, with_agvm=False)
    torch.save(dict(optimizer=dict(state={})), path)
    check_resume(path, with_agvm=False)
    torch.save({}, path, _use_new_zipfile_serialization=False)
    check_resume(path, with_agvm=False)
    check_resume('https://example.com/epoch_1.pth', with_agvm=False)
