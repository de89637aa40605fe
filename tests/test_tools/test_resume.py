"""A detector that draws random numbers, cut in mid-epoch."""
from __future__ import annotations

import shutil

import torch

from tests.commands import FASTER, load, options, run

AUGMENTED = f"""_base_ = '{FASTER}'
train_dataloader = dict(dataset=dict(pipeline=[
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomCrop', crop_size=(48, 48)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs')]))
"""


def test_faster_rcnn_goes_on_in_mid_epoch(digits, tmp_path, train):
    config = tmp_path / 'config.py'
    config.write_text(AUGMENTED)
    settings = options(digits, 'train_cfg.max_epochs=2',
                       'train_cfg.val_interval=10',
                       'default_hooks.checkpoint.by_epoch=False',
                       'default_hooks.checkpoint.max_keep_ckpts=-1')
    train(config, *settings, work_dir=tmp_path / 'whole')
    # After the second of four updates of the first epoch.
    (tmp_path / 'cut').mkdir()
    middle = shutil.copy(tmp_path / 'whole' / 'iter_4.pth', tmp_path / 'cut')
    output = run('python', 'tools/train.py', config, '--work-dir',
                 tmp_path / 'cut', '--resume', middle, *settings)
    assert 'resumed epoch: 0, iter: 4' in output
    # A line after each update, of two micro-batches.
    assert '[1][6/8]' in output
    assert '[1][4/8]' not in output
    whole, cut = (
        load(tmp_path / name / 'iter_16.pth') for name in ('whole', 'cut'))
    assert cut['optimizer']['agvm'] == whole['optimizer']['agvm']
    for name, tensor in whole['state_dict'].items():
        assert torch.equal(tensor, cut['state_dict'][name]), name
