"""Training by this repository's tool, and by those of mmdet and mmseg."""
import re
from pathlib import Path

import mmdet
import mmseg
import pytest
import torch

from tests.commands import (
    FASTER,
    RETINANET,
    ROOT,
    SEMANTIC,
    free_port,
    options,
    run,
    scalars,
    train_two_processes,
)


def test_training_logs_every_module(trained):
    work_dir, output = trained
    rows = scalars(work_dir)
    assert [row['step'] for row in rows] == list(range(1, 9))
    # Measured before the updates 1, 3, 5 and 7; until then nothing is logged.
    assert 'agvm/variance/backbone' not in rows[0]
    for module in ('backbone', 'neck', 'bbox_head'):
        for quantity in ('variance', 'lr_scale'):
            assert f'agvm/{quantity}/{module}' in rows[1]
            assert f'agvm/{quantity}/{module}: ' in output
        # Off the measured updates the last values stand.
        key = f'agvm/lr_scale/{module}'
        assert [row[key] for row in rows[1::2]
                ] == [row[key] for row in rows[2::2]] + [rows[-1][key]]
    assert rows[-1]['agvm/num_replicas'] == 2
    assert rows[-1]['agvm/lr_scale/neck'] != 1


def test_resume_gives_the_bits_of_the_uninterrupted_run(
        trained, digits, tmp_path):
    # RetinaNet draws no random numbers, and MMEngine saves no generator.
    train_two_processes(RETINANET, tmp_path, 1, digits)
    output = train_two_processes(RETINANET, tmp_path, 2, digits, '--resume')
    assert 'resumed epoch: 1, iter: 4' in output
    whole, cut = (
        torch.load(folder / 'epoch_2.pth', weights_only=True)
        for folder in (trained[0], tmp_path))
    assert cut['optimizer']['agvm'] == whole['optimizer']['agvm']
    assert set(cut['optimizer']['agvm']['lr_scale']) == {
        'backbone', 'neck', 'bbox_head'
    }
    for name, tensor in whole['state_dict'].items():
        assert torch.equal(tensor, cut['state_dict'][name]), name


def own_train_tool(package):
    return Path(package.__file__).parent / '.mim/tools/train.py'


def test_mmdets_own_train_tool(digits, tmp_path):
    run('python',
        own_train_tool(mmdet),
        FASTER,
        '--work-dir',
        tmp_path,
        *options(digits, 'optim_wrapper.accumulative_counts=2',
                 'train_cfg.max_epochs=1'),
        cwd=tmp_path)
    rows = scalars(tmp_path)
    assert len(rows) == 8
    assert rows[-1]['agvm/num_replicas'] == 2
    assert rows[-1]['agvm/lr_scale/roi_head.bbox_head'] != 1


def test_mmsegs_own_train_tool(digits, tmp_path):
    settings = [
        o for o in options(digits, 'optim_wrapper.accumulative_counts=2',
                           'train_cfg.max_iters=8', 'train_cfg.val_interval=8')
        if 'ann_file' not in o
    ]
    output = run(
        'python',
        own_train_tool(mmseg),
        SEMANTIC,
        '--work-dir',
        tmp_path,
        *settings,
        cwd=tmp_path)
    rows = scalars(tmp_path)
    assert len(rows) == 8
    assert rows[-1]['agvm/num_replicas'] == 2
    assert rows[-1]['agvm/lr_scale/decode_head'] != 1
    assert re.search('mIoU: [0-9.]+', output)


def test_the_total_batch_is_kept_by_accumulation(digits, tmp_path):
    """One process of 8 micro-batches, and two of 4, are the same training."""
    settings = [
        o for o in
        options(digits, 'train_cfg.max_epochs=4', 'train_cfg.val_interval=10',
                'default_hooks.checkpoint.interval=4') if 'batch_size' not in o
    ]
    for processes in (1, 2):
        run('bash',
            'tools/dist_train.sh',
            RETINANET,
            processes,
            '--samples-per-gpu',
            2,
            '--work-dir',
            tmp_path / str(processes),
            *settings,
            PORT=free_port())
    alone, shared = (scalars(tmp_path / name) for name in '12')
    # 16 images are one update, and one log line, of 8 replicas.
    assert [row['step'] for row in alone] == [8, 16, 24, 32]
    assert [row['step'] for row in shared] == [4, 8, 12, 16]
    for ours, theirs in zip(alone, shared):
        assert ours['lr'] == theirs['lr']
    assert alone[-1]['agvm/num_replicas'] == 8
    for key in alone[-1]:
        if key.startswith('agvm/'):
            assert shared[-1][key] == pytest.approx(alone[-1][key], rel=1e-3)
    one, two = (
        torch.load(tmp_path / name / 'epoch_4.pth', weights_only=True)
        for name in '12')
    for name, tensor in one['state_dict'].items():
        if 'running_' not in name and 'num_batches' not in name:
            torch.testing.assert_close(
                tensor, two['state_dict'][name], rtol=1e-4, atol=1e-6)


def test_a_split_by_hand_is_left_alone(digits, tmp_path):
    output = run(
        'python', 'tools/train.py', SEMANTIC, '--work-dir', tmp_path,
        *(o
          for o in options(digits, 'optim_wrapper.accumulative_counts=2',
                           'train_cfg.max_iters=2', 'train_cfg.val_interval=8')
          if 'ann_file' not in o))
    assert len(scalars(tmp_path)) == 2
    assert 'The config states total_batch_size=16, but 4 runs' in output


def refused(folder, *arguments):
    """What train.py says, from a folder without data, before it fails."""
    return run(
        'python',
        ROOT / 'tools/train.py',
        RETINANET,
        '--work-dir',
        folder,
        *arguments,
        cwd=folder,
        status=1)


@pytest.mark.parametrize(('setting', 'arguments', 'message'), [
    ('total_batch_size=0', [], 'total_batch_size=0 must be'),
    ('total_batch_size=16', ['--samples-per-gpu', 0
                             ], 'max_samples_per_gpu=0 must be'),
    ('total_batch_size=16', ['--launcher', 'slurm'],
     '--launcher slurm expects SLURM_NTASKS in the environment'),
])
def test_impossible_batches_stop_before_training(setting, arguments, message,
                                                 digits, tmp_path):
    output = refused(tmp_path, '--cfg-options',
                     f'train_dataloader.dataset.data_root={digits}', setting,
                     *arguments)
    assert output.splitlines()[-1].startswith(f'train.py: {message}')
    assert 'Traceback' not in output


@pytest.mark.parametrize(('setting', 'message'), [
    ('optim_wrapper.accumulative_counts=1', 'accumulative_counts=1 has a'),
    ('optim_wrapper.agvm.anchor=bakbone', "agvm.anchor='bakbone'"),
    ('optim_wrapper.constructor=DefaultOptimWrapperConstructor',
     "set constructor='AGVMOptimWrapperConstructor'"),
    ('optim_wrapper.agvm.ratio_range=(2,1)', 'agvm.ratio_range=(2, 1)'),
])
def test_bad_settings_stop_before_the_first_iteration(setting, message, digits,
                                                      tmp_path):
    output = refused(tmp_path, *options(digits, setting))
    errors = [
        line for line in output.splitlines() if line.startswith('ValueError')
    ]
    assert len(errors) == 1
    assert message in errors[0]
    assert 'Epoch(train)' not in output


def test_missing_data_says_how_to_make_it(tmp_path):
    output = refused(tmp_path)
    assert 'python tools/make_digits.py data/digits/' in output
