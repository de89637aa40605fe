import argparse
import os
import pickle
import re
import shlex
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import load_checkpoint
from mmengine.utils import is_installed

from agvm_mm.compat.checkpoint import (
    allow_mmengine_checkpoints,
    check_checkpoint,
    force_safe_loading,
)
from tests.stack import safe_loader

CONFIGS = Path(__file__).parents[2] / 'configs'

pytestmark = safe_loader


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


# As np.sctypeDict, whose names differ between numpy 1 and 2.
PLAIN = ('bool', 'int8', 'int16', 'int32', 'int64', 'longlong', 'uint8',
         'uint16', 'uint32', 'uint64', 'ulonglong', 'intp', 'float16',
         'float32', 'float64', 'longdouble', 'complex64', 'complex128',
         'clongdouble', 'U3', 'S3', 'datetime64[ns]', 'datetime64[D]',
         'timedelta64[s]')


@pytest.mark.parametrize('numpy', ['numpy.core', 'numpy._core'])
@pytest.mark.parametrize('name', PLAIN)
def test_every_plain_type_of_numpy_loads(name, numpy, tmp_path):
    dtype = np.dtype(name)
    whole = np.arange(6).astype('int64').astype(dtype).reshape(2, 3)
    values = dict(
        array=whole,
        fortran=np.asfortranarray(whole),
        slice=whole[:, ::2],
        empty=whole[:0],
        single=whole[0, 0].reshape(()),
        scalar=whole[0, 1],
        big=whole.astype(dtype.newbyteorder('>')),
        little=whole.astype(dtype.newbyteorder('<')),
        dtype=dtype,
        text=str(whole))
    path = tmp_path / 'a.pth'
    # The older format is not compressed, so that the other numpy's names can
    # take the place of this one's.
    torch.save(values, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    for known in (b'cnumpy.core.', b'cnumpy._core.'):
        content = content.replace(known, b'c%s.' % numpy.encode())
    path.write_bytes(content)
    check_checkpoint(path)
    allow_mmengine_checkpoints()
    loaded = torch.load(path, weights_only=True)
    assert list(loaded) == list(values)
    for key, value in values.items():
        # Pickled, an array is in the machine's own order of bytes again.
        value, found = pickle.loads(pickle.dumps(value)), loaded[key]
        assert type(found) is type(value)
        if key not in ('dtype', 'text'):
            assert found.dtype == value.dtype
            np.testing.assert_array_equal(found, value)
        assert repr(found) == repr(value)


def test_the_page_lists_the_plain_types():
    page = (CONFIGS.parent / 'docs/reliability.md').read_text()
    _, _, after = page.partition('What of numpy loads')
    listed = after.partition('Refused')[0].partition('):')[2]
    assert re.findall('`(.+?)`', listed) == list(PLAIN)
    assert f'each of these {len(PLAIN)} types' in after


def test_plain_types_of_python_load(tmp_path):
    """As a dataset's metainfo may hold them."""
    metainfo = dict(
        palette=[(220, 20, 60)],
        empty=b'',
        raw=b'\x00\xff',
        array=bytearray(b'1'),
        names=frozenset(['a']),
        flips={1, 2},
        every=range(0, 8, 2),
        part=slice(1, None),
        phase=1j,
        colors=np.array([[255, 0, 128]], np.uint8),
        # A dict in a config.
        things=ConfigDict(cells=ConfigDict(red=(220, 20, 60)), sizes=[{}]))
    path = tmp_path / 'a.pth'
    torch.save(dict(meta=dict(dataset_meta=metainfo)), path)
    check_checkpoint(path)
    loaded = torch.load(path, weights_only=True)['meta']['dataset_meta']
    assert repr(loaded) == repr(metainfo)
    assert type(loaded['things'].cells) is ConfigDict


@pytest.mark.parametrize(('value', 'found'), [
    (np.array([{}, None], dtype=object), 'object'),
    (np.array((1, ), dtype=[('a', 'O')]), 'object'),
    (np.ma.masked_array([1]), 'numpy.ma.'),
    (argparse.Namespace(lr=1), 'argparse.Namespace'),
    (Path('a'), 'pathlib.'),
    (datetime(2020, 1, 1), 'datetime.datetime'),
    (torch.nn.Linear(1, 1), 'torch.nn.modules.linear.Linear'),
    (Crafted(os.system, 'true'), 'posix.system'),
    (Crafted(eval, '1'), 'eval'),
    (print, 'print'),
],
                         ids=lambda value: type(value).__name__)
def test_what_may_not_be_held_is_one_sentence(value, found, tmp_path):
    path = tmp_path / "it's foreign.pth"
    torch.save(dict(args=value, model=dict(weight=torch.ones(1))), path)
    with pytest.raises(ValueError, match='and a file with that') as error:
        check_checkpoint(path)
    message = str(error.value)
    assert '\n' not in message
    held = message.split(' holds ')[1].split(',')[0]
    assert found in held.lower() or found in held


WEIGHT = torch.arange(6.).reshape(2, 3)


@pytest.mark.parametrize('content', [
    dict(args=argparse.Namespace(lr=1), model=dict(weight=WEIGHT)),
    dict(args=argparse.Namespace(lr=1), state_dict=dict(weight=WEIGHT)),
    dict(weight=WEIGHT, args=argparse.Namespace(lr=1)),
    torch.nn.Linear(3, 2, bias=False),
    dict(model=torch.nn.Linear(3, 2, bias=False)),
],
                         ids=['model', 'state_dict', 'flat', 'module', 'both'])
@pytest.mark.parametrize('zipped', [True, False])
def test_the_advice_saves_the_weights(content, zipped, tmp_path, monkeypatch,
                                      request):
    model = content.get('model') if isinstance(content, dict) else content
    if isinstance(model, torch.nn.Module):
        model.weight.data.copy_(WEIGHT)
    path = tmp_path / "it's foreign.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match='and a file with that') as error:
        check_checkpoint(path)
    command = str(error.value).split('--resume: ')[1]
    python, option, code, *arguments = shlex.split(command)
    assert (python, option) == ('python', '-c')
    if zipped and 'flat' in request.node.name:
        # As it is typed; a new process imports torch again.
        command = command.replace('python', sys.executable, 1)
        subprocess.run(command, shell=True, check=True)
    else:
        monkeypatch.setattr(sys, 'argv', ['-c', *arguments])
        exec(code, {})
    weights = Path(f'{path}.weights.pth')
    check_checkpoint(weights)
    model = torch.nn.Linear(3, 2, bias=False)
    load_checkpoint(model, str(weights), strict=True)
    assert torch.equal(model.weight, WEIGHT)


@pytest.mark.parametrize('content', [b'<html>', b'weights\n' * 9, b'\x80\x02'])
def test_a_file_that_is_no_checkpoint(content, tmp_path):
    path = tmp_path / 'page.pth'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r'page\.pth cannot be read') as error:
        check_checkpoint(path)
    assert '\n' not in str(error.value)


def test_torchs_own_override_is_respected(tmp_path, monkeypatch):
    path = tmp_path / 'foreign.pth'
    torch.save(dict(args=argparse.Namespace(), state_dict={}), path)
    safe = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'
    monkeypatch.setenv(safe, '0')
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    force_safe_loading()
    assert os.environ[safe] == '0'
    check_checkpoint(path)
    load_checkpoint(torch.nn.Linear(1, 1), str(path))
    monkeypatch.setenv(safe, '1')
    with pytest.raises(ValueError, match=r'are both set.*unset one'):
        force_safe_loading()
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '0')
    force_safe_loading()
    with pytest.raises(ValueError, match=r'argparse\.Namespace'):
        check_checkpoint(path)


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
    if is_installed('onedl-mmengine') and function is getattr:
        return  # Allowed there, but no call of what it finds.
    # As in both tools: OneDL's would fall back to the unsafe loader, and
    # torch before 2.6 takes that one by itself.
    monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '1')
    with pytest.raises(pickle.UnpicklingError):
        load_checkpoint(torch.nn.Linear(1, 1), str(path))
    assert not canary.exists()


def test_it_is_told_which_attribute_a_checkpoint_asks_for(tmp_path):
    path = tmp_path / 'crafted.pth'
    torch.save(dict(a=Crafted(getattr, HistoryBuffer, 'statistics')), path)
    if not is_installed('onedl-mmengine'):
        with pytest.raises(
                ValueError,
                match=r"holds getattr\(HistoryBuffer, 'statistics'\), and"):
            check_checkpoint(path)


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
                                              digits, tmp_path, monkeypatch,
                                              capsys):
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
    with pytest.raises(SystemExit) as error:
        __import__(tool).main()
    said = f'{error.value} {capsys.readouterr().err}'
    assert re.search(rf'\b{tool}(\.py|: error): ', said)
    assert 'holds posix.system, and a file with that can run code' in said
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


def test_a_torch_without_a_safe_loader_says_so(tmp_path, monkeypatch,
                                               warnings):
    """The one function stands for torch before 2.4."""
    monkeypatch.setattr('agvm_mm.compat.checkpoint._safe_loader_can_be_told',
                        lambda: False)
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(optimizer=dict(agvm={})), path)
    check_checkpoint(path)
    check_checkpoint(path)
    said, = warnings()
    assert f'2.4 has): {path} can run code when it is loaded' in said


def test_a_home_folder_is_found_as_mmengine_finds_it(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    torch.save(dict(optimizer=dict(state={}, agvm={})), tmp_path / 'a.pth')
    check_checkpoint('~/a.pth')
    with pytest.raises(FileNotFoundError, match=r'b\.pth: there is no such'):
        check_checkpoint('~/b.pth')
