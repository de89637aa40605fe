"""A mistake ends in one line that names the mend, before anything is built."""
import json
import resource
import socket
from argparse import ArgumentParser

import pytest
import torch
from command_line.configs import Options, check_spelling, load_config
from command_line.preflight import check_work_dir, check_wrapper
from command_line.refusals import one_line
from mmengine.config import Config
from mmengine.registry import MODELS

from agvm_mm.large_batch import resolve
from tests.commands import FASTER, RETINANET, ROOT, call, free_port, run
from tests.toy import ToyDetector

DETECTOR = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'


def test_names_of_packages():
    cfg = load_config(DETECTOR, {'train_cfg.max_epochs': 3})
    assert cfg.model.type == 'FasterRCNN'
    assert cfg.train_cfg.max_epochs == 3


@pytest.mark.parametrize(('name', 'message'), [
    ('configs/digits/faster-rcnn_r18_fpn_agvm_digit.py',
     'does not exist in .*; there is .*faster-rcnn_r18_fpn_agvm_digits.py'),
    ('config/digits/x.py', 'there is no folder config/digits'),
    ('configs', 'is a folder: name a file in it'),
    (DETECTOR[:-1], 'mmdet has no config .*; there is mmdet::faster_rcnn/'),
    ('mmdet::faster_rnn/x.py', 'there is no folder mmdet::faster_rnn'),
    ('agvm_mm::digits/x.py', 'agvm_mm has no config digits/x.py'),
    ('mmdett::x.py', 'package mmdett, which is not installed'),
])
def test_a_config_that_is_not_there(name, message, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        load_config(name)


@pytest.mark.parametrize(('text', 'message'), [
    ('a = (', 'cannot be read'),
    ("_base_ = 'gone.py'", 'cannot be read: .*gone.py'),
    ("custom_imports = dict(imports=['not_there'])",
     'cannot be read: Failed to import'),
    # A program, and what MMEngine says of two that do not merge.
    ('batch = 2\nlr = 0.1 * bach', "NameError: name 'bach' is not defined"),
    ("_base_ = ['below.py', 'beside.py']", 'KeyError: .*Duplicate key'),
    ("_base_ = 'below.py'\nhooks = dict(a=1)", 'TypeError: .*is a dict'),
])
def test_a_config_that_cannot_be_read(text, message, tmp_path):
    for name in ('below.py', 'beside.py'):
        (tmp_path / name).write_text('hooks = [1]')
    config = tmp_path / 'config.py'
    config.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_config(str(config))


def test_the_line_of_a_config_that_fails(tmp_path):
    config = tmp_path / 'config.py'
    config.write_text('batch = 2\nlr = 0.1 * bach\nx = 1')
    with pytest.raises(ValueError, match=r'defined \(.*, line 2\)$'):
        load_config(str(config))


@pytest.mark.parametrize(('options', 'message'), [
    (['a=1', 'total_batch_size', '64'], "'total_batch_size' is not KEY=VALUE"),
    (['a=[1,'], 'brackets'),
])
def test_options_that_are_none(options, message, capsys):
    parser = ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=Options)
    given = parser.parse_args(['--cfg-options', 'a.b=1', 'c=[2,3]'])
    assert given.cfg_options == {'a.b': 1, 'c': [2, 3]}
    with pytest.raises(SystemExit):
        parser.parse_args(['--cfg-options', *options])
    last = capsys.readouterr().err.splitlines()[-1]
    assert 'error: --cfg-options: ' in last
    assert message in last


def test_options_that_do_not_fit():
    with pytest.raises(ValueError, match='--cfg-options does not fit'):
        load_config(str(FASTER), {'default_scope.a.b': 1})


@pytest.mark.parametrize(('settings', 'meant'), [
    (dict(total_batchsize=4), 'total_batchsize is unknown: did you mean '
     r'total_batch_size\?'),
    (dict(max_sample_per_gpu=4), r'did you mean max_samples_per_gpu\?'),
    (dict(optim_wrapper=dict(avgm=dict())), 'optim_wrapper.avgm is unknown'),
    (dict(optim_wrapper=dict(AGVM=dict(), agmv=dict())),
     r'did you mean optim_wrapper.agvm\?'),
    (dict(optim_wrapper=dict(head=dict(optimizer={}, avgm={}))),
     r'did you mean optim_wrapper.head.agvm\?'),
])
def test_settings_that_are_spelt_wrong(settings, meant):
    with pytest.raises(ValueError, match=meant):
        check_spelling(Config(settings))


def test_counts_may_be_written_as_powers_of_ten():
    settings = dict(total_batch_size=1e3, num_train_images=1e5)
    cfg = load_config(str(RETINANET), settings)
    assert type(cfg.total_batch_size) is type(cfg.num_train_images) is int
    assert (cfg.total_batch_size, cfg.num_train_images) == (1000, 100000)


def test_no_setting_of_others_is_taken_for_one_of_ours():
    for cfg in (load_config(DETECTOR), load_config(str(RETINANET))):
        check_spelling(cfg)
    # mmyolo's and mmdet's own names.
    check_spelling(Config(dict(
        train_batch_size_per_gpu=8, base_batch_size=16, batch_size=4,
        samples_per_gpu=2, num_samples_per_gpu=2, val_batch_size=1,
        local_batch_size=2, num_train_images=100, num_training_images=100,
        optim_wrapper=dict(type='OptimWrapper'))))


def test_an_option_of_agvm_at_the_top_level_is_refused():
    with pytest.raises(ValueError, match=r'write optim_wrapper\.agvm\.begin$'):
        load_config(str(FASTER), {'agvm.begin': 3})


@pytest.mark.parametrize(('options', 'message'), [
    ({'optim_wrapper.agvm.anchor': 'bakbone'}, "agvm.anchor='bakbone'"),
    ({'optim_wrapper.agvm.intervall': 3}, 'intervall'),
    ({'optim_wrapper.agvm.modules': {'head': 'roi_hed'}}, 'roi_hed'),
    ({'optim_wrapper.optimizer.type': 'Gone'},
     "optimizer.type='Gone' is not a registered"),
    ({'optim_wrapper.optimizer.type': 'Adam'}, 'momentum is unknown to Adam'),
    ({'optim_wrapper.optimizer': dict(
        _delete_=True, type='LBFGS', lr=1)}, 'LBFGS'),
    ({'model.backbone.deph': 18},
     r'^model\.backbone cannot be built: TypeError: .*deph'),
    ({'model.backbone.frozen_stages': 9},
     r'^model\.backbone cannot be built: AttributeError: .*layer5'),
    ({'param_scheduler.0.start_factor': 0},
     r'^param_scheduler\[0\]\.start_factor=0 would end in a division'),
    ({'param_scheduler.1.type': 'MultiStep'},
     r'^param_scheduler\[1\] cannot be built: KeyError: .*MultiStep is not'),
    ({'param_scheduler.0.end': -5}, r'param_scheduler\[0\] .*end=-5'),
    ({'param_scheduler.0.strat_factor': 1}, 'TypeError: .*strat_factor'),
    ({'param_scheduler.0.type': 'LinearParamScheduler',
      'param_scheduler.0.param_name': 'lrr'}, 'KeyError: .*lrr'),
])
def test_what_the_wrapper_refuses(options, message):
    cfg = load_config(str(FASTER), {
        'optim_wrapper.accumulative_counts': 2, **options})
    with pytest.raises(ValueError, match=message):
        check_wrapper(cfg, 'none')


def test_a_single_replica():
    cfg = load_config(str(FASTER))
    with pytest.raises(ValueError, match='launch two or more processes'):
        check_wrapper(cfg, 'none')


@MODELS.register_module()
class Detector(ToyDetector):
    """Of no scope."""


@MODELS.register_module()
class WithNumbers(ToyDetector):
    """A user's own, that reads numbers while it is built."""

    def __init__(self):
        super().__init__()
        self.strides = (2**torch.arange(3)).numpy()


@pytest.mark.parametrize('changes', [
    {'optim_wrapper.agvm.end': 0},
    {'optim_wrapper.accumulative_counts': 2, 'default_scope': None,
     'model': dict(_delete_=True, type='Detector')},
    {'optim_wrapper.accumulative_counts': 2,
     'model': dict(_delete_=True, type='WithNumbers')},
], ids=['AGVM is off', 'no scope', 'numbers'])  # yapf: disable
def test_what_else_runs_passes(changes):
    check_wrapper(load_config(str(FASTER), changes), 'none')


def test_a_total_batch_of_1_with_agvm_off():
    cfg = load_config(str(FASTER), {
        'optim_wrapper.agvm.end': 0, 'total_batch_size': 1})
    assert resolve(cfg, 1).optim_wrapper.accumulative_counts == 1


def test_what_runs_passes():
    cfg = load_config(str(FASTER), {'optim_wrapper.accumulative_counts': 2})
    check_wrapper(cfg, 'none')
    check_wrapper(load_config(DETECTOR), 'none')


def test_a_work_dir_that_cannot_be_written(tmp_path):
    check_work_dir(str(tmp_path / 'new' / 'folder'))
    (tmp_path / 'file').touch()
    with pytest.raises(OSError, match=r'work_dir=.*file.*--work-dir'):
        check_work_dir(str(tmp_path / 'file'))
    # A disk that is full takes names of files, but nothing that is in them.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        with pytest.raises(OSError, match=r'cannot be written \(File too la'):
            check_work_dir(str(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize(('rank', 'local_rank', 'error', 'at_once'), [
    (0, 0, ValueError, True),
    (1, 1, ValueError, False),
    (8, 0, ValueError, False),
    (8, 0, FileNotFoundError, True),
    (9, 1, FileNotFoundError, False),
])
def test_who_tells(rank, local_rank, error, at_once, tmp_path, monkeypatch):
    """The others only if nobody has, and the launcher has not ended them."""
    monkeypatch.setenv('RANK', str(rank))
    monkeypatch.setenv('LOCAL_RANK', str(local_rank))
    file = tmp_path / 'error.json'
    monkeypatch.setenv('TORCHELASTIC_ERROR_FILE', str(file))
    waits = []  # for the rank that tells
    monkeypatch.setattr('command_line.refusals.time.sleep', waits.append)
    mistake = dict(
        FileNotFoundError=lambda: load_config('gone.py'),
        ValueError=lambda: check_spelling(Config(dict(total_batchsize=4))))
    with pytest.raises(SystemExit) as ended, one_line('tool.py'):
        mistake[error.__name__]()
    assert str(ended.value.code).startswith('tool.py: ')
    assert bool(waits) != at_once
    # The launcher then adds nothing.
    assert json.loads(file.read_text())['message'].startswith('refused: ')


def test_errors_of_others_keep_their_traceback():
    with pytest.raises(ValueError, match='invalid literal'), one_line('x'):
        int('seven')


def test_all_ranks_end_in_one_line():
    nowhere = [f'{loader}_dataloader.dataset.{key}=' for key in (
        'data_root', 'data_prefix.img') for loader in ('train', 'val')]
    output = run('bash', 'tools/dist_train.sh', FASTER, 2, '--cfg-options',
                 'optim_wrapper.agvm.anchor=bakbone', *nowhere, status=1,
                 PORT=free_port())
    # OneDL's mmdet prints that it found no package OneDL.
    lines = [line for line in output.splitlines() if 'Warning' not in line
             and 'OneDL' not in line and not line.startswith(' ')]
    assert len(lines) == 1, output
    assert lines[0].startswith("train.py: agvm.anchor='bakbone' is no module")


@pytest.mark.parametrize('arguments', [
    ('dist_train.sh', FASTER, 2),
    ('dist_test.sh', FASTER, 'checkpoint.pth', 2),
])
def test_a_port_in_use(arguments):
    tool, *more = arguments
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = taken.getsockname()[1]
        output = call('bash', f'tools/{tool}', *more, status=1,
                      PORT=str(port))
    assert output.startswith(f'port {port} is in use')
    assert f'as PORT={port + 1}' in output
    assert output.count('\n') == 1


def test_a_rank_that_dies_is_named(tmp_path):
    script = tmp_path / 'rank.py'
    script.write_text('import os, signal, sys\n'
                      "if os.environ['RANK'] == '1':\n"
                      '    os.kill(os.getpid(), signal.SIGKILL)\n')
    output = call('python', ROOT / 'tools/command_line/launch.py',
                  '--nproc_per_node=2', f'--master_port={free_port()}', script,
                  status=1)
    line, = output.splitlines()
    assert line.startswith('rank 1 on ')
    assert 'SIGKILL' in line
