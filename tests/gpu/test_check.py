"""Without a GPU --gpu ends at once, in one sentence."""
import shutil
import sys

import mmcv.ops
import pytest
import torch

from tests.commands import ROOT, call

from .check import problem


@pytest.mark.parametrize('stack', [None, 'mine'])
def test_run_tests_stops_without_a_gpu(stack, tmp_path):
    """In another checkout, which is set up already."""
    (tmp_path / 'tools').mkdir()
    shutil.copy(ROOT / 'tools/run_tests.sh', tmp_path / 'tools')
    (tmp_path / 'tools/setup.sh').write_text('')
    for name in ('tests', 'agvm_mm', 'pyproject.toml'):
        (tmp_path / name).symlink_to(ROOT / name)
    venv = tmp_path / ('.venv' if stack is None else f'.venv-{stack}')
    (venv / 'bin').mkdir(parents=True)
    # Its own python, which finds the packages of ours.
    python = venv / 'bin/python'
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -W ignore "$@"\n')
    python.chmod(0o755)
    output = call(
        'bash',
        tmp_path / 'tools/run_tests.sh',
        *(['--stack', stack] if stack else []),
        '--gpu',
        status=1,
        timeout=60,
        CUDA_VISIBLE_DEVICES='')
    assert len(output.splitlines()) == 1
    assert output.startswith('--gpu needs a CUDA device: torch ')


@pytest.mark.parametrize(('gpu', 'operators', 'said'), [
    (True, '12.1', None),
    (True, 'not available', "needs mmcv's CUDA operators, but mmcv was"),
    (False, 'not available', 'needs a CUDA device: torch'),
])
def test_what_is_missing(gpu, operators, said, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: gpu)
    monkeypatch.setattr(mmcv.ops, 'get_compiling_cuda_version',
                        lambda: operators)
    found = problem()
    assert (found is None) == (said is None)
    assert said is None or said in found
