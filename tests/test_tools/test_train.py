"""Training by this repository's tool."""
import argparse
import re
import shlex
import shutil
import subprocess
import sys

import pytest
import torch
from command_line.preflight import check_data
from mmengine.config import Config
from reports.reading import read_run

from tests.commands import (
    RETINANET,
    ROOT,
    SEMANTIC,
    free_port,
    load,
    options,
    run,
    scalars,
    train_two_processes,
    without,
)
from tests.stack import plotly, safe_loader


def test_training_logs_every_module(trained):
    assert_every_module_is_logged(*trained)


def assert_every_module_is_logged(work_dir, output):
    rows = scalars(work_dir)
    assert [row['step'] for row in rows] == list(range(1, 9))
    # Measured before the updates 1, 3, 5 and 7; until then nothing is logged.
    assert 'agvm/variance/backbone' not in rows[0]
    for module in ('backbone', 'neck', 'bbox_head'):
        for quantity in ('variance', 'lr_scale'):
            assert f'agvm/{quantity}/{module}' in rows[1]
        # What is printed is the factors.
        assert f'agvm/lr_scale/{module}: ' in output
        assert f'agvm/variance/{module}: ' not in output
        # Off the measured updates the last values stand.
        key = f'agvm/lr_scale/{module}'
        assert [row[key] for row in rows[1::2]
                ] == [row[key] for row in rows[2::2]] + [rows[-1][key]]
    assert rows[-1]['agvm/num_replicas'] == 2
    assert rows[-1]['agvm/lr_scale/neck'] != 1


def test_resume_gives_the_bits_of_the_uninterrupted_run(
        trained, digits, tmp_path):
    # As if it had been cut after its first epoch.
    shutil.copy(trained[0] / 'epoch_1.pth', tmp_path)
    output = train_two_processes(RETINANET, tmp_path, 2, digits, '--resume')
    assert 'resumed epoch: 1, iter: 4' in output
    whole, cut = (
        load(folder / 'epoch_2.pth')
        for folder in (trained[0], tmp_path))
    assert cut['optimizer']['agvm'] == whole['optimizer']['agvm']
    assert set(cut['optimizer']['agvm']['lr_scale']) == {
        'backbone', 'neck', 'bbox_head'
    }
    for name, tensor in whole['state_dict'].items():
        assert torch.equal(tensor, cut['state_dict'][name]), name


def test_the_total_batch_is_kept_by_accumulation(digits, tmp_path, train):
    """One process of 8 micro-batches, and two of 4, are the same training."""
    settings = without(
        'batch_size',
        options(digits, 'train_cfg.max_epochs=2', 'train_cfg.val_interval=10',
                'default_hooks.checkpoint.interval=2'))
    most = ('--samples-per-gpu', 2)
    train(RETINANET, *most, *settings, work_dir=tmp_path / '1')
    run('bash',
        'tools/dist_train.sh',
        RETINANET,
        2,
        *most,
        '--work-dir',
        tmp_path / '2',
        *settings,
        PORT=free_port())
    alone, shared = (scalars(tmp_path / name) for name in '12')
    # 16 images are one update, and one log line, of 8 replicas.
    assert [row['step'] for row in alone] == [8, 16]
    assert [row['step'] for row in shared] == [4, 8]
    for ours, theirs in zip(alone, shared):
        assert ours['lr'] == theirs['lr']
    assert alone[-1]['agvm/num_replicas'] == 8
    for key in alone[-1]:
        if key.startswith('agvm/'):
            assert shared[-1][key] == pytest.approx(alone[-1][key], rel=1e-3)
    one, two = (
        load(tmp_path / name / 'epoch_2.pth')
        for name in '12')
    for name, tensor in one['state_dict'].items():
        if 'running_' not in name and 'num_batches' not in name:
            torch.testing.assert_close(
                tensor, two['state_dict'][name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(('setting', 'arguments', 'message'), [
    ('total_batch_size=0', [], 'train.py: total_batch_size=0 must be'),
    ('total_batch_size=16', ['--samples-per-gpu', '0'],
     'train.py: max_samples_per_gpu=0 must be'),
    ('total_batch_size=16', ['--launcher', 'slurm'],
     "train.py: launcher='slurm' (--launcher) expects SLURM_NTASKS in the"),
    ('auto_scale_lr.base_batch_size=16', ['--auto-scale-lr'],
     'train.py: auto_scale_lr.enable=True (--auto-scale-lr) beside total_bat'),
    ('total_batch_size=16', ['--auto-scale-lr'],
     'train.py: --auto-scale-lr needs the batch that lr is of: set '),
    ('optim_wrapper.type=ApexOptimWrapper', ['--amp'],
     "train.py: optim_wrapper.type='ApexOptimWrapper' has no mixed"),
    ('strategy.type=FSDPStrategy', [],
     "train.py: strategy.type='FSDPStrategy' saves nothing of AGVM and"),
    ('resume=True', ['--resume', 'nowhere.pth'],
     'train.py: checkpoint nowhere.pth: there is no such file'),
])
def test_what_cannot_run_stops_before_training(setting, arguments, message,
                                               digits, train, monkeypatch):
    monkeypatch.delenv('SLURM_NTASKS', raising=False)
    with pytest.raises(SystemExit) as error:
        train(RETINANET, *arguments, '--cfg-options',
              f'train_dataloader.dataset.data_root={digits}',
              f'val_dataloader.dataset.data_root={digits}', setting)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(('setting', 'message'), [
    ('optim_wrapper.accumulative_counts=1', 'accumulative_counts=1 has a'),
    ('optim_wrapper.agvm.anchor=bakbone', "agvm.anchor='bakbone'"),
    ('optim_wrapper.constructor=DefaultOptimWrapperConstructor',
     "set constructor='AGVMOptimWrapperConstructor'"),
    ('optim_wrapper.agvm.ratio_range=(2,1)', 'agvm.ratio_range=(2, 1)'),
])
def test_bad_settings_stop_before_the_first_iteration(setting, message, digits,
                                                      train, tmp_path):
    with pytest.raises(SystemExit, match=re.escape(message)):
        train(RETINANET, *options(digits, setting))
    # Nor was a runner built, which would have dumped the config.
    assert not list(tmp_path.rglob('*.log'))


def test_one_error_and_no_traceback(tmp_path):
    """In a process of its own; the data are missing."""
    output = run(
        'python',
        ROOT / 'tools/train.py',
        RETINANET,
        '--work-dir',
        tmp_path,
        cwd=tmp_path,
        status=1)
    assert output.splitlines()[-1].startswith('train.py: ')
    assert 'tools/make_digits.py data/digits/' in output
    assert 'Traceback' not in output


def test_a_split_by_hand_is_left_alone(digits, tmp_path, train):
    train(
        SEMANTIC, *without(
            'ann_file',
            options(digits, 'total_batch_size=16', 'train_cfg.max_iters=2',
                    'optim_wrapper.accumulative_counts=2',
                    'train_cfg.val_interval=8')))
    assert len(scalars(tmp_path)) == 2
    log, = tmp_path.glob('*/*.log')
    assert 'The config states total_batch_size=16, but 4 runs' in (
        log.read_text())


@pytest.mark.parametrize('dataset', [
    dict(data_root=''),
    dict(data_root=None),
    dict(data_root='s3://bucket/coco'),
    dict(data_root='gone', backend_args=dict(backend='petrel')),
    dict(data_root='gone', ann_file='/a.json', data_prefix=dict(pts='/pts')),
    dict(data_root='', data_prefix=dict(pts='gone', sub_data_root='gone')),
    dict(data_prefix='gone'),
    dict(data_prefix=dict(img='gone'), backend_args=dict(backend='petrel')),
    dict(data_prefix=dict(img='', seg_map_path=None)),
    dict(data_prefix=dict(img='https://a/img')),
    # Images without labels, as of a submission.
    dict(
        data_prefix=dict(img_path='', seg_map_path='gone'),
        pipeline=[dict(type='LoadImageFromFile')]),
    dict(type='RepeatDataset', dataset=dict(data_root='')),
    dict(type='ConcatDataset', datasets=[dict(data_root=''), dict()]),
])
def test_a_data_root_that_names_no_folder_here(dataset):
    check_data(Config(dict(train_dataloader=dict(dataset=dataset))), 'x.py')


@pytest.mark.parametrize('dataset', [
    dict(data_root='gone'),
    dict(type='RepeatDataset', dataset=dict(data_root='gone')),
    dict(type='MultiImageMixDataset',
         dataset=dict(dataset=dict(data_root='gone'))),
    dict(type='ConcatDataset', datasets=[dict(), dict(data_root='gone')]),
    dict(data_root='gone', backend_args=dict(backend='local')),
    dict(data_root='gone', ann_file='a.json', data_prefix=dict(img='/img')),
    dict(data_root='gone', ann_file='/a.json', data_prefix=dict(img='img')),
    dict(data_root='gone', ann_file='/a.json'),
])
def test_a_data_root_that_is_missing(dataset):
    for loader, use in (('train', 'training'), ('val', 'validation')):
        cfg = {f'{loader}_dataloader': dict(dataset=dataset)}
        message = rf"{use} data from 'gone'.*{loader}_dataloader.*data_root"
        with pytest.raises(FileNotFoundError, match=message):
            check_data(Config(cfg), 'x')


@pytest.mark.parametrize(('key', 'settings'), [
    ('img', dict(data_prefix=dict(img='gone'))),
    ('img_path', dict(data_prefix=dict(img_path='/a'))),
    ('seg_map_path', dict(data_prefix=dict(img_path='', seg_map_path='gone'))),
    ('seg', dict(data_root='gone', ann_file='/a.json',
                 data_prefix=dict(seg='/seg'))),
    ('img', dict(type='RepeatDataset', dataset=dict(data_root='.',
                 data_prefix=dict(img='gone/')))),
    ('img', dict(datasets=[dict(), dict(data_prefix=dict(img='gone'))])),
])
def test_images_that_are_missing(key, settings):
    for loader, use in (('train', 'training'), ('val', 'validation')):
        cfg = {f'{loader}_dataloader': dict(dataset=settings)}
        message = rf'{use} images from .*{loader}_.*\.data_prefix\.{key}$'
        with pytest.raises(FileNotFoundError, match=message):
            check_data(Config(cfg), 'x')


def logs(work_dir):
    return ''.join(log.read_text() for log in work_dir.glob('*/*.log'))


SHORT = ('train_cfg.max_iters=2', 'train_cfg.val_interval=8',
         'total_batch_size=4')


def settings(digits, *more):
    return without('ann_file', options(digits, *SHORT, *more))


@pytest.fixture(name='foreign')
def _foreign(tmp_path):
    """Weights beside what another tool's arguments were."""
    path = tmp_path / 'foreign.pth'
    weights = {'decode_head.conv_seg.bias': torch.full((12, ), 0.5)}
    torch.save(dict(args=argparse.Namespace(lr=1), model=weights), path)
    return path


@safe_loader
def test_foreign_weights_are_one_line_that_helps(foreign, digits, train,
                                                 tmp_path, monkeypatch):
    with pytest.raises(SystemExit) as error:
        train(SEMANTIC, *settings(digits, f'load_from={foreign}'))
    message = str(error.value)
    assert message.startswith(
        f'train.py: checkpoint {foreign} holds argparse.Namespace, and')
    assert '\n' not in message
    # The command that it gives, as it is typed.
    command = message[message.index('python -c'):]
    target = shlex.split(command)[-1]
    # Which main() has set for its process, not for the user's shell.
    monkeypatch.delenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD')
    subprocess.run(
        command.replace('python', sys.executable, 1), shell=True, check=True)
    train(
        SEMANTIC, *settings(digits, f'load_from={target}',
                            'optim_wrapper.optimizer.lr=0'))
    trained = load(tmp_path / 'iter_2.pth')['state_dict']
    assert torch.all(trained['decode_head.conv_seg.bias'] == 0.5)


def test_foreign_weights_load_where_the_user_trusts_them(
        foreign, digits, train, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    content = torch.load(foreign, weights_only=False)
    content['state_dict'] = content.pop('model')
    torch.save(content, foreign)
    train(
        SEMANTIC, *settings(digits, f'load_from={foreign}',
                            'optim_wrapper.optimizer.lr=0'))
    trained = load(tmp_path / 'iter_2.pth')['state_dict']
    assert torch.all(trained['decode_head.conv_seg.bias'] == 0.5)


@pytest.mark.parametrize('runner_type', ['TotalBatchRunner', 'Runner'])
def test_a_resume_of_nothing_says_that_it_starts_anew(runner_type, digits,
                                                      train, tmp_path):
    train(SEMANTIC, '--resume',
          *settings(digits, f'runner_type={runner_type}'))
    log = logs(tmp_path)
    assert log.count(f'{tmp_path} holds no checkpoint to resume: the training '
                     'starts anew') == 1
    assert 'Auto resumed' not in log
    assert len(scalars(tmp_path)) == 2


@safe_loader
def test_a_resume_of_nothing_begins_with_load_from(digits, train, tmp_path):
    weights = {'decode_head.conv_seg.bias': torch.full((12, ), 0.5)}
    torch.save(dict(state_dict=weights), tmp_path / 'own.pt')
    for iterations in (1, 2):  # The second time there is one to resume.
        train(
            SEMANTIC, '--resume', *settings(
                digits, f'load_from={tmp_path}/own.pt',
                'optim_wrapper.optimizer.lr=0',
                f'train_cfg.max_iters={iterations}'))
    assert logs(tmp_path).count(f'from {tmp_path}/own.pt') == 1
    assert len(scalars(tmp_path)) == 2
    trained = load(tmp_path / 'iter_4.pth')['state_dict']
    assert torch.all(trained['decode_head.conv_seg.bias'] == 0.5)


@plotly
def test_the_report_of_a_training(digits, tmp_path, train):
    train(
        SEMANTIC, '--report',
        *settings(digits, 'train_cfg.max_iters=4', 'train_cfg.val_interval=4',
                  'runner_type=TotalBatchRunner'))
    page = (tmp_path / 'report.html').read_text()
    assert f'<h1>Training report: {tmp_path.name}</h1>' in page
    assert f'The report of this run is {tmp_path}/report' in logs(tmp_path)
    # What MMEngine really writes is what is read.
    run = read_run(tmp_path, 'real')
    assert run.modules == ['backbone', 'neck', 'decode_head']
    assert (run.processes, run.micro_batches, run.total_batch) == (1, 2, 4)
    assert (run.updates, run.planned) == (4, 4)
    assert (run.begin, run.due, run.skipped) == (1, 2, 0)
    assert run.headlines == ['mIoU']
    assert [row['update'] for row in run.metrics] == [4]
    assert run.journal.machine['PyTorch'] == torch.__version__
    assert run.speed() > 0


@plotly
def test_a_training_without_a_log_to_report(digits, tmp_path, train):
    train(SEMANTIC, '--report', *settings(digits,
                                          'visualizer.vis_backends=[]'))
    assert f'No report was written: {tmp_path} holds no ' in logs(tmp_path)
