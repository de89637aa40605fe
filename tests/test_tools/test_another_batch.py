"""plan.py --at: its lines, written into a file, train as the rule says."""
import math

import pytest
from command_line.configs import load_config
from mmengine.config import Config
from mmengine.hooks import EMAHook, Hook
from plan import main
from plans.lines import changed, lines_of

from agvm_mm import TotalBatchRunner
from agvm_mm.large_batch import at_batch
from tests.commands import ROOT
from tests.toy import before_each_step

DIGITS = ROOT / 'configs/digits'
DETECTOR = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
ADAMW = 'configs/faster_rcnn/faster-rcnn_r50_fpn_adamw_12e_bs256_coco.py'
UPDATES = 4


def user_config(folder, base, digits, optimizer):
    """A user's own file: 4 samples an update, and an average of weights."""
    semantic = 'semantic' in base
    loop = dict(max_iters=40, val_interval=20) if semantic else dict(
        max_epochs=UPDATES // 2, val_interval=4)
    settings = dict(
        _base_=str(DIGITS / base),
        total_batch_size=4,
        train_dataloader=dict(
            batch_size=2, dataset=dict(data_root=digits)),
        train_cfg=loop,
        val_cfg=None, val_dataloader=None, val_evaluator=None,
        test_cfg=None, test_dataloader=None, test_evaluator=None,
        optim_wrapper=dict(optimizer=optimizer),
        custom_hooks=[dict(type='EMAHook', momentum=0.01, priority=49)],
        default_hooks=dict(checkpoint=None),
        visualizer=dict(name=f'another_batch_{base[:-3]}'),
        experiment_name=f'another_batch_{base[:-3]}')  # yapf: disable
    file = folder / 'mine' / base
    file.parent.mkdir()
    file.write_text('\n'.join(f'{k} = {v!r}' for k, v in settings.items()))
    return file


def trained(file, work_dir):
    """What each update's optimizer had, and the average's momentum."""
    cfg = load_config(str(file))
    cfg.work_dir = str(work_dir)
    cfg.env_cfg = {}
    if 'max_iters' in cfg.train_cfg:
        cfg.train_cfg.max_iters = UPDATES
    runner = TotalBatchRunner.from_cfg(cfg)
    recorder = Recorder()
    runner.register_hook(recorder)
    runner.train()
    assert len(recorder.seen) == UPDATES
    average = next(h for h in runner.hooks if isinstance(h, EMAHook))
    return recorder.seen, average.ema_model.momentum


class Recorder(Hook):
    """What every update's optimizer has."""

    def __init__(self):
        self.seen = []

    def before_train(self, runner):
        before_each_step(runner.optim_wrapper.optimizer, self.record)

    def record(self, optimizer):
        self.seen.append([{
            key: group.get(key)
            for key in ('lr', 'betas', 'eps', 'momentum', 'weight_decay')
        } for group in optimizer.param_groups])


@pytest.mark.parametrize(('base', 'optimizer', 'expected'), [
    ('faster-rcnn_r18_fpn_sgd_digits.py', {},
     dict(lr=0.04, momentum=0.9, weight_decay=1e-4)),
    ('faster-rcnn_swin-n_fpn_adamw_digits.py', dict(eps=1e-6),
     dict(
         lr=1e-3 * math.sqrt(2),
         betas=(0.8, 0.998),
         eps=1e-6 / math.sqrt(2),
         weight_decay=0.05 * math.sqrt(2))),
    ('semantic-fpn_r18_sgd_digits.py', {},
     dict(lr=0.2, momentum=0.9, weight_decay=5e-4)),
], ids=['faster-rcnn-sgd', 'faster-rcnn-adamw', 'semantic-fpn-sgd'])
def test_three_configs_train_as_the_rule_says(base, optimizer, expected,
                                              digits, tmp_path):
    mine = user_config(tmp_path, base, digits, optimizer)
    out = tmp_path / 'other' / 'twice.py'
    main([str(mine), '--at', '8', '--out', str(out)])
    # It inherits, so it is short, and means what the function returns.
    assert "_base_ = '../mine/" in out.read_text()
    assert len(out.read_text().splitlines()) < 40
    assert load_config(str(out)).to_dict() == at_batch(
        load_config(str(mine)), 8)[0].to_dict()
    seen, momentum = trained(out, tmp_path / 'work')
    assert momentum == pytest.approx(1 - (1 - 0.01)**2)
    for update, groups in enumerate(seen):
        # A warm-up of 100 updates from a hundredth, which are 50 now.
        factor = 0.01 + 0.99 * update / 49
        for group in groups:
            found = {
                key: value
                for key, value in group.items() if key in expected
            }
            # Norms of the Swin do not decay, before and after.
            meant = dict(expected, lr=expected['lr'] * factor)
            if found['weight_decay'] == 0 and 'swin' in base:
                meant['weight_decay'] = 0
            assert found == {
                key: pytest.approx(value)
                for key, value in meant.items()
            }
    assert any(group['weight_decay'] for group in seen[0])


def test_printed_lines_are_a_config(tmp_path, capsys):
    """Beside the config that they inherit from, with changes of the user."""
    file = tmp_path / 'mine.py'
    file.write_text('lr = 1e-4\ntotal_batch_size = 16\n' + '\n'.join([
        "optim_wrapper = dict(optimizer=dict(type='AdamW', lr=lr))",
        "train_cfg = dict(type='IterBasedTrainLoop', max_iters=90)",
        'train_dataloader = dict(batch_size=2, sampler=dict('
        "type='InfiniteSampler'), extra={'a b': (1, )})", 'old = dict(a=1)'
    ]))
    main([str(file), '--at', '32', '--rule', 'square-root', '--cfg-options',
          'optim_wrapper.clip_grad.max_norm=3', 'train_cfg.max_iters=100',
          "old={'_delete_':True,'b':2}"])  # yapf: disable
    text = capsys.readouterr().out
    assert text.startswith('# mine.py at 32 samples an update, 2 times its 16')
    assert "# optim_wrapper.optimizer: the rule 'square-root'" in text
    assert max(map(len, text.splitlines())) < 80
    (tmp_path / 'lines.py').write_text(text)
    cfg = load_config(str(tmp_path / 'lines.py'))
    assert cfg.total_batch_size == 32
    assert cfg.optim_wrapper == dict(
        optimizer=dict(type='AdamW', lr=1.414213562e-4,
                       weight_decay=0.01414213562),
        clip_grad=dict(max_norm=3))  # yapf: disable
    assert cfg.train_cfg.max_iters == 50
    assert cfg.runner_type == 'TotalBatchRunner'
    assert cfg.lr == 1e-4


def test_only_what_changes_is_stated():
    base = dict(a=1, b=dict(c=[1, dict(d=2)], e=(1, 2)), f=dict(g=1), h=None)
    new = dict(a=1, b=dict(c=[1, dict(d=3)], e=(1, 2)), f=dict(i=1),
               h=dict(j=1), k=dict(m=1))  # yapf: disable
    found = changed(base, new)
    assert found == dict(
        b=dict(c=[1, dict(d=3)]),
        f=dict(_delete_=True, i=1),
        h=dict(_delete_=True, j=1),
        k=dict(m=1))
    merged = Config(base)
    merged.merge_from_dict(found)
    assert merged.to_dict() == new


def test_lines_are_what_they_state(tmp_path):
    """Keys that are no names, words of Python, numbers that are none."""
    new = dict(a=[{0: 1, 1.5: 2}, {'class': 3, 'a b': float('inf')}])
    base = tmp_path / 'base.py'
    base.touch()
    lines = lines_of(str(base), Config(), Config(new), None, [])
    (tmp_path / 'lines.py').write_text(lines)
    assert load_config(str(tmp_path / 'lines.py')).to_dict() == new


def test_a_config_of_a_package_and_its_plan(capsys, monkeypatch):
    """mmdet states the batch of its rate, and no total."""
    monkeypatch.setenv('COLUMNS', '200')
    main([DETECTOR, '--at', '64', '--gpus', '8', '--cfg-options',
          'num_train_images=117266'])  # yapf: disable
    output = capsys.readouterr().out
    for line in (f"_base_ = '{DETECTOR}'", 'total_batch_size = 64',
                 "runner_type = 'TotalBatchRunner'",
                 'optim_wrapper = dict(optimizer=dict(lr=0.08))'):
        assert f'\n{line}\n' in output, line
    assert '64 = 8 GPUs x 2 images x 4 micro-batches' in output
    assert 'learning rate     0.08, SGD' in output
    assert '124 updates, from 8e-05' in output


def test_a_batch_that_the_name_of_the_config_contradicts(capsys):
    """RTMDet inherits the base batch of Faster R-CNN, but not its rate."""
    rtmdet = 'mmdet::rtmdet/rtmdet_l_8xb32-300e_coco.py'
    with pytest.raises(
            SystemExit,
            match='base_batch_size=16, but the name rtmdet_l_8xb32-300e_coco'
            r'\.py says 8 GPUs x 32 samples: set total_batch_size to'):
        main([rtmdet, '--at', '512'])
    main([rtmdet, '--at', '512', '--cfg-options', 'total_batch_size=256'])
    output = capsys.readouterr().out
    assert f'lr={0.004 * 2**0.5:.10g}'[:14] in output
    assert 'runner_type' in output


@pytest.mark.parametrize(('flags', 'message'), [
    (('--at', '4096'), 'take 2559 at most, or the rule'),
    (('--at', '0'), 'total_batch_size=0 must be an int >= 1'),
    (('--rule', 'adam', '--gpus', '8'), '--rule adam is of --at: name the'),
    (('--out', 'a.py', '--gpus', '8'), '--out a.py is of --at: name the'),
    ((), '--gpus is not set: name the processes of the run, as --gpus 8'),
    (('--at', '512', '--from', 'work'), '--gpus is not set'),
    (('--at', '512', '--out', ADAMW), 'is the config itself: name another'),
    (('--at', '512', '--out', 'a.yaml'), r'--out a\.yaml: a config is a \.py'),
])
def test_what_is_refused(flags, message, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit, match=message):
        main([ADAMW, *flags])


@pytest.mark.parametrize('out', ['folder.py', 'file/below.py'])
def test_a_config_that_cannot_be_written(out, tmp_path, monkeypatch):
    (tmp_path / 'folder.py').mkdir()
    (tmp_path / 'file').touch()
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit, match=f'{out} cannot be written .*--out'):
        main([ADAMW, '--at', '512', '--out', str(tmp_path / out)])


def test_a_config_of_the_new_style(tmp_path, capsys):
    """Its lines are told, and no file can inherit from it."""
    file = tmp_path / 'new.py'
    file.write_text("""
from mmengine.config import read_base
from mmengine.optim import PolyLR
from torch.optim import SGD

with read_base():
    from agvm_mm.configs._base_.digits.schedule_iterations import *

train_dataloader = dict(batch_size=2, sampler=dict(type='InfiniteSampler'))
optim_wrapper.update(optimizer=dict(type=SGD, lr=0.1))
""")
    main([str(file), '--at', '32'])
    output = capsys.readouterr().out
    assert '_base_' not in output
    assert 'optim_wrapper = dict(optimizer=dict(lr=0.2))' in output
    assert 'PolyLR' in output
    with pytest.raises(SystemExit, match="of MMEngine's new style"):
        main([str(file), '--at', '32', '--out', str(tmp_path / 'out.py')])
