"""The wheel, the source distribution and an editable install, from outside."""
import hashlib
import importlib.util
import re
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import mmdet
import pytest

import agvm_mm
from tests.commands import (
    ROOT,
    call,
    copy_checkout,
    free_port,
    options,
    run,
    scalars,
)

TRAIN = Path(mmdet.__file__).parent / '.mim/tools/train.py'
BUILD = 'import setuptools.build_meta as b; b.build_{}(sys.argv[1])'
# The bundled bases, made small and for Digits.
SMALL = """
from mmengine.config import read_base

with read_base():
    from agvm_mm.configs._base_.pipelines.faster_rcnn_r50_fpn_coco import *
    from agvm_mm.configs._base_.schedules.coco_16e_bs512 import *
    from agvm_mm.configs._base_.optimizers.agvm_sgd import *
    from agvm_mm.configs._base_.digits.detection import *
    from agvm_mm.configs._base_.digits.cpu import *

model.update(
    backbone=dict(
        depth=18, base_channels=16, frozen_stages=-1, init_cfg=None),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=32),
    rpn_head=dict(in_channels=32, feat_channels=32),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=32),
        bbox_head=dict(in_channels=32, fc_out_channels=32)))
optim_wrapper.update(
    optimizer=dict(lr=0.01), agvm=dict(begin=1, interval=1),
    clip_grad_range=(0, 4))
total_batch_size = 4
max_samples_per_gpu = 1
train_cfg.update(max_epochs=1)
train_dataloader.update(dataset=dict(data_root={digits!r}))
val_cfg = val_dataloader = val_evaluator = None
default_hooks.update(logger=dict(interval=1))
"""


def build(kind, source, folder):
    """A distribution, made as pip and build make it, of a copy.

    Building leaves files behind, which are in no source distribution.
    """
    built = folder / 'built'
    built.mkdir()
    call(
        sys.executable,
        '-c',
        f'import sys; {BUILD.format(kind)}',
        built,
        cwd=shutil.copytree(source, folder / 'source', symlinks=True),
        timeout=120,
        PYTHONPATH='')
    return next(built.iterdir())


def venv(folder, wheel):
    """A new environment with a wheel in it that sees the stack beside it.

    The stack's own .pth files, and so this checkout, are not read there, but
    for the one of setuptools: MMEngine imports distutils, which newer Python
    has of setuptools alone.
    """
    call(sys.executable, '-m', 'venv', '--without-pip', folder)
    python = folder / 'bin/python'
    call(
        *(sys.executable, '-m', 'pip', '--python', python, 'install'),
        *('--no-index', '--no-deps', wheel),
        timeout=120,
        PYTHONPATH='')
    site, = folder.glob('lib/python*/site-packages')
    stack = [path for path in sys.path if path.endswith('-packages')]
    own = [
        file.read_text() for path in stack
        for file in Path(path).glob('distutils-precedence.pth')
    ]
    (site / 'stack.pth').write_text('\n'.join([*stack, *own]))
    return python, site


@pytest.fixture(scope='module', name='source')
def _source(tmp_path_factory):
    return copy_checkout(tmp_path_factory.mktemp('source') / 'agvm_mm')


@pytest.fixture(scope='module', name='sdist')
def _sdist(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp('sdist')
    with tarfile.open(build('sdist', source, folder)) as archive:
        archive.extractall(folder)
    return next(folder.glob('agvm_mm-*'))


@pytest.fixture(scope='module', name='wheel')
def _wheel(source, tmp_path_factory):
    return build('wheel', source, tmp_path_factory.mktemp('wheel'))


@pytest.fixture(scope='module', name='installed')
def _installed(wheel, tmp_path_factory):
    return venv(tmp_path_factory.mktemp('installed') / 'venv', wheel)


def contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {
            name: hashlib.sha256(archive.read(name)).hexdigest()
            for name in archive.namelist() if not name.endswith('/RECORD')
        }


def files(folder):
    return {
        str(path.relative_to(folder))
        for path in folder.rglob('*') if path.is_file()
    }


def test_one_version_is_told_everywhere():
    version = agvm_mm.__version__
    citation = (ROOT / '.github/CITATION.cff').read_text()
    assert f'\nversion: {version}\n' in citation
    changelog = (ROOT / 'docs/changelog.md').read_text()
    assert re.search(r'^## (\S+?),', changelog, re.M).group(1) == version


def test_the_wheel_holds_the_configs_and_the_tools(wheel):
    names = set(contents(wheel))
    configs = files(ROOT / 'configs')
    assert len(configs) > 150
    for name in configs:
        if not name.endswith('.pyc'):
            assert f'agvm_mm/.mim/configs/{name}' in names
    for name in ('train.py', 'plan.py', 'command_line/launch.py',
                 'reports/page.css', 'reports/page.js'):
        assert f'agvm_mm/.mim/tools/{name}' in names
    assert 'agvm_mm/.mim/model-index.yml' in names
    top = {name.split('/')[0] for name in names}
    assert {name for name in top if 'dist-info' not in name} == {'agvm_mm'}


def test_the_sdist_holds_the_checkout(source, sdist):
    assert files(source) <= files(sdist)


def test_the_sdist_builds_the_same_wheel(wheel, sdist, tmp_path):
    again = build('wheel', sdist, tmp_path)
    assert again.name == wheel.name
    assert contents(again) == contents(wheel)


def test_an_editable_install_is_found(source, digits, tmp_path):
    """By MMEngine's look-up, which mim's is a copy of, and by read_base."""
    python, _ = venv(tmp_path / 'venv', build('editable', source, tmp_path))
    config = tmp_path / 'small.py'
    config.write_text(SMALL.replace('{digits!r}', repr(digits)))
    found = call(
        python,
        '-c',
        'import sys; from mmengine.config import Config; '
        'from mmengine.utils import get_installed_path; '
        'print(Config.fromfile(sys.argv[1]).optim_wrapper.type.__module__, '
        "get_installed_path('agvm_mm'))",
        config,
        cwd=tmp_path,
        timeout=60,
        PYTHONPATH='')
    assert found.split()[-2:] == [
        'agvm_mm.engine.optim_wrapper',
        str(tmp_path / 'source/agvm_mm')
    ]


def test_mmdets_own_train_tool_reads_the_bundled_bases(installed, digits,
                                                       tmp_path):
    """On two processes: MMEngine takes the model's wrapper by name alone."""
    python, site = installed
    origin = call(
        python,
        '-c',
        "from importlib.util import find_spec; print(find_spec('agvm_mm')."
        'origin)',
        cwd=tmp_path,
        PYTHONPATH='')
    assert Path(origin.strip()).parent == site / 'agvm_mm'
    config = tmp_path / 'small.py'
    config.write_text(SMALL.replace('{digits!r}', repr(digits)))
    run(python,
        '-m',
        'torch.distributed.run',
        '--nproc_per_node=2',
        f'--master_port={free_port()}',
        TRAIN,
        config,
        '--launcher',
        'pytorch',
        cwd=tmp_path,
        PYTHONPATH='')
    last = scalars(tmp_path / 'work_dirs/small')[-1]
    assert last['agvm/num_replicas'] == 4
    assert last['agvm/lr_scale/roi_head.bbox_head'] != 1


@pytest.mark.skipif(
    importlib.util.find_spec('mim') is None, reason='openmim is not installed')
def test_mim_trains_a_bundled_config_and_runs_a_tool(installed, digits,
                                                     tmp_path):
    python, _ = installed
    mim = (python, '-m', 'mim')
    small = options(digits, 'train_cfg.max_epochs=1', 'val_cfg=None',
                    'val_dataloader=None', 'val_evaluator=None')
    run(
        *mim,
        'train',
        'agvm_mm',
        'retinanet_r18_fpn_agvm_digits.py',
        '--work-dir',
        tmp_path / 'work_dir',
        *small,
        cwd=tmp_path,
        PYTHONPATH='')
    assert scalars(tmp_path / 'work_dir')[-1]['agvm/num_replicas'] == 2
    told = run(
        *mim,
        'run',
        'agvm_mm',
        'plan',
        'agvm_mm::faster_rcnn/'
        'faster-rcnn_r50_fpn_agvm-sgd_16e_bs512_coco.py',
        '--gpus',
        '8',
        cwd=tmp_path,
        PYTHONPATH='')
    assert '512 = 8 GPUs x 16 images x 4 micro-batches' in told
