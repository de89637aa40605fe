import os
import re
import shutil
import sys
import venv

import pytest

from tests.commands import ROOT, call, run, scalars


@pytest.mark.parametrize('tool', ['setup.sh', 'run_tests.sh'])
@pytest.mark.parametrize('arguments', [['--stack', 'mine'], ['--stack']])
def test_an_unknown_stack(tool, arguments):
    output = call('bash', f'tools/{tool}', *arguments, status=1)
    assert 'unknown arguments: --stack' in output
    allowed = 'default, torch2.1, floor, torch2.4, onedl or next'
    assert f'allowed: --stack {allowed}' in output


@pytest.fixture(name='checkout')
def _checkout(tmp_path):
    """What setup.sh reads, where no environment is."""
    (tmp_path / 'tools').mkdir()
    for file in [ROOT / 'tools/setup.sh', *ROOT.glob('tools/constraints*')]:
        shutil.copy(file, tmp_path / 'tools')
    shutil.copy(ROOT / 'pyproject.toml', tmp_path)
    return tmp_path


@pytest.mark.parametrize(('stack', 'needed'), [
    ('default', '3.11 or 3.12'),
    ('torch2.1', '3.10 or 3.11'),
    ('floor', '3.8'),
    ('torch2.4', '3.12'),
    ('onedl', '3.11 or 3.12'),
    ('next', '3.13'),
])
def test_a_python_that_does_not_fit(stack, needed, checkout):
    python = checkout / 'python3'
    python.write_text('#!/bin/sh\necho 3.6\n')
    python.chmod(0o755)
    output = call(
        'bash',
        checkout / 'tools/setup.sh',
        '--stack',
        stack,
        status=1,
        PYTHON=python)
    assert 'is Python 3.6, but the pinned packages of the stack ' in output
    assert f"'{stack}' need {needed}: set PYTHON=/path/to/python" in output


def test_a_python_that_is_not_there(checkout):
    """Nor is a HOME."""
    output = call(
        *('env', '-u', 'HOME', 'bash', checkout / 'tools/setup.sh'),
        status=1,
        PYTHON='/no/python3')
    assert 'PYTHON=/no/python3 does not run: set PYTHON=/path' in output


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason='of the default stack alone')
def test_an_environment_that_is_active_is_made_anew(checkout, tmp_path):
    """By another name of the checkout, from a folder with a torch of its own.

    It has no index here, and ends where the first package is missing.
    """
    venv.create(checkout / '.venv', symlinks=True)
    (checkout / '.venv/old').touch()
    link = tmp_path / 'link'
    link.symlink_to(checkout)
    (tmp_path / 'pip.py').write_text('raise SystemError')
    output = call(
        *('bash', link / 'tools/setup.sh'),
        cwd=tmp_path,
        status=1,
        timeout=60,
        PATH=f'{link}/.venv/bin{os.pathsep}{os.environ["PATH"]}',
        PIP_NO_INDEX='1',
        PIP_CONFIG_FILE=os.devnull,
        PIP_FIND_LINKS='',
        PIP_USER='1',
        PYTHON=link / '.venv/bin/python')
    assert 'error: this command failed: ' in output
    assert 'Can not perform a .--user. install' not in output
    assert f'the whole log is in {checkout}/.venv/setup.log' in output
    assert not (checkout / '.venv/old').exists()


@pytest.mark.parametrize('file', sorted(ROOT.glob('tools/constraints*')),
                         ids=lambda file: file.stem)
def test_every_version_is_exact(file):
    lines = file.read_text().splitlines()
    pins = [line for line in lines if not line.startswith('#')]
    assert all(re.fullmatch(r'[\w.-]+==[\w.+]+', pin) for pin in pins)
    if file.stem.endswith('-zoo'):  # comes on top of its stack's
        stack = file.with_name(file.name.replace('-zoo', ''))
        pins += [p for p in stack.read_text().splitlines() if '==' in p]
    names = [pin.split('==')[0].lower() for pin in pins]
    assert len(set(names)) == len(names)


@pytest.mark.skipif(
    not (ROOT / '.venv/.stamp').is_file(),
    reason='tools/setup.sh has not run here, and the demo would run it')
def test_a_short_demo(tmp_path):
    output = run(
        'bash',
        ROOT / 'tools/demo.sh',
        '--cfg-options',
        'total_batch_size=8',
        'train_dataloader.batch_size=2',
        'train_cfg.max_epochs=1',
        'train_cfg.val_interval=1',
        'train_dataloader.dataset.indices=16',
        'val_dataloader.dataset.indices=4',
        'optim_wrapper.agvm.begin=0',
        'optim_wrapper.agvm.interval=1',
        'default_hooks.logger.interval=1',
        cwd=tmp_path,
        WORK_DIR=str(tmp_path))
    names = ['without-agvm', 'with-agvm']
    told = re.findall(r'\[demo\] (.*): coco/bbox_mAP: [0-9.]+', output)
    assert told == names
    assert re.findall(
        "(.*): the largest variance of the modules' steps is [0-9.]+ times",
        output) == names
    assert (tmp_path / 'agvm.png').stat().st_size > 10000
    assert (tmp_path / 'report.html').stat().st_size > 10000
    rows = {name: scalars(tmp_path / name)[-1] for name in names}
    assert {row['agvm/num_replicas'] for row in rows.values()} == {4}
    factors = [[value for key, value in row.items() if 'lr_scale' in key]
               for row in rows.values()]
    assert set(factors[0]) == {1}
    assert len(set(factors[1])) > 1
