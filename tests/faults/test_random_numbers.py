"""Models that draw random numbers go on as if they had not been cut.

A slow suite: bash tools/run_tests.sh --faults
"""
from __future__ import annotations

import functools
import os
import signal

import pytest
import torch

from tests.commands import FASTER, ROOT, SEMANTIC, load, options, without

from .counting import count
from .recording import recorded
from .test_faults import OPTIMIZERS, assert_equal, wait_for
from .training import Training, children

pytestmark = pytest.mark.faults

MODELS = dict(
    faster=FASTER,
    mask=ROOT / 'configs/digits/mask-rcnn_r18_fpn_agvm_digits.py',
    semantic=SEMANTIC)
UPDATES = 12  # four an epoch
# Flips, sizes, crops and colours are drawn; and images where a crop has left
# no object.
DETECTION = """
train_dataloader = dict(dataset=dict(pipeline=[
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomResize', scale=(96, 96), ratio_range=(0.8, 1.5)),
    dict(type='RandomCrop', crop_size=(64, 64)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackDetInputs')]))
"""
SEGMENTATION = """
train_dataloader = dict(dataset=dict(pipeline=[
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='RandomResize', scale=(96, 96), ratio_range=(0.8, 1.5),
         keep_ratio=True),
    dict(type='RandomCrop', crop_size=(64, 64), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs')]))
model = dict(decode_head=dict(dropout_ratio=0.1))
"""

# A batch norm's statistics are of a rank's images, or of all ranks'.
NORM = dict(_delete_=True, type='GN', num_groups=8)
GROUP_NORM = dict(
    faster=f'model = dict(backbone=dict(norm_cfg={NORM}))',
    semantic=f"model['backbone'] = dict(norm_cfg={NORM})\n"
    f"model['decode_head']['norm_cfg'] = {NORM}")


@pytest.fixture(autouse=True)
def _find_the_hook(monkeypatch):
    path = filter(None, [str(ROOT), os.environ.get('PYTHONPATH')])
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join(path))


def train(work_dir,
          digits,
          model,
          *arguments,
          ranks=1,
          samples=2,
          optimizer='sgd',
          workers=0,
          persistent=False,
          norm=''):
    """Start a training of four images an update, saved after each."""
    work_dir.mkdir(parents=True, exist_ok=True)
    config = work_dir / 'config.py'
    data = SEGMENTATION if model == 'semantic' else DETECTION
    config.write_text(
        f"_base_ = '{MODELS[model]}'\n{data}\n{OPTIMIZERS[optimizer]}\n"
        f'{norm}\n'
        "custom_imports = dict(imports=['agvm_mm', 'agvm_mm.cpu', "
        "'tests.faults.recording'])\n"
        "custom_hooks = [dict(type='RecordingHook')]\n")
    settings = options(digits, f'max_samples_per_gpu={samples}',
                       'default_hooks.checkpoint.by_epoch=False',
                       'val_dataloader.batch_size=1',
                       f'train_dataloader.num_workers={workers}',
                       f'train_dataloader.persistent_workers={persistent}')
    if model == 'semantic':
        settings = without('ann_file', settings)
        settings += [f'train_cfg.max_iters={UPDATES}']
        settings += ['train_cfg.val_interval=4']
    else:
        settings += ['train_cfg.max_epochs=3', 'train_cfg.val_interval=1']
    return Training(config, work_dir, ranks, [*arguments, *settings])


def saved(work_dir, update, micro_batches):
    return work_dir / f'iter_{update * micro_batches}.pth'


def says(training, words):
    return words in training.output()


def kill(training):
    """The launcher and its ranks, which are in sessions of their own."""
    for process in [training.process.pid, *children(training.process.pid)]:
        os.kill(process, signal.SIGKILL)
    assert training.wait() != 0


@pytest.mark.parametrize(
    ('model', 'optimizer', 'workers', 'persistent', 'where'), [
        ('faster', 'sgd', 0, False, 'an epoch'),
        ('faster', 'adamw', 2, True, 'a validation'),
        ('mask', 'sgd', 2, False, 'a validation'),
        ('mask', 'adamw', 0, False, 'an epoch'),
        ('semantic', 'sgd', 2, True, 'an epoch'),
        ('semantic', 'adamw', 0, False, 'a validation'),
    ])
def test_a_cut_changes_no_bit(model, optimizer, workers, persistent, where,
                              digits, tmp_path):
    settings = dict(
        optimizer=optimizer, workers=workers, persistent=persistent)
    whole = train(tmp_path / 'whole', digits, model, **settings)
    assert whole.wait() == 0, whole.output()
    work_dir = tmp_path / 'cut'
    for update in (5, 6) if where == 'an epoch' else (4, 8):
        training = train(work_dir, digits, model, '--resume', **settings)
        if where == 'an epoch':
            wait_for(saved(work_dir, update, 2).exists, training)
        else:
            done = ('Iter(val) [2/4]' if model == 'semantic' else
                    f'Epoch(val) [{update // 4}][2/4]')
            wait_for(functools.partial(says, training, done), training)
        kill(training)
        count(f'SIGKILL in the middle of {where}')
    last = train(work_dir, digits, model, '--resume', **settings)
    assert last.wait() == 0, last.output()
    assert recorded(work_dir) == recorded(tmp_path / 'whole')
    assert len(recorded(work_dir)) == UPDATES
    cut, expected = (
        load(saved(folder, UPDATES, 2))
        for folder in (work_dir, tmp_path / 'whole'))
    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        assert_equal(cut[part], expected[part], part)


@pytest.mark.parametrize('model', ['faster', 'semantic'])
@pytest.mark.parametrize(('before', 'after'), [(2, 1), (1, 2)])
def test_another_number_of_ranks_has_the_same_images(before, after, model,
                                                     digits, tmp_path):
    settings = dict(samples=1, norm=GROUP_NORM[model])
    whole = train(tmp_path / 'whole', digits, model, ranks=before, **settings)
    assert whole.wait() == 0, whole.output()
    work_dir = tmp_path / 'cut'
    first = train(work_dir, digits, model, ranks=before, **settings)
    wait_for(saved(work_dir, 6, 4 // before).exists, first)
    kill(first)
    count(f'SIGKILL in the middle of an epoch, {before} process(es), '
          f'resumed on {after}')
    last = train(
        work_dir, digits, model, '--resume', ranks=after, **settings)
    assert last.wait() == 0, last.output()
    assert recorded(work_dir) == recorded(tmp_path / 'whole')
    cut = load(saved(work_dir, UPDATES, 4 // after))['state_dict']
    expected = load(saved(tmp_path / 'whole', UPDATES, 4 // before))
    for name, tensor in expected['state_dict'].items():
        torch.testing.assert_close(cut[name], tensor, rtol=1e-3, atol=1e-5)
