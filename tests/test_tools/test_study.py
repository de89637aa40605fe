"""The study's tools, on two tiny trainings."""
import dataclasses
import json

import pretrain_digits
import pytest
import yaml
from studies.choices import best_lr
from studies.grid import expand, missing, read_study
from studies.run_config import build_config
from studies.runs import Run

from agvm_mm.datasets import write_digits
from tests.commands import ROOT
from tests.commands import run as run_command
from tests.stack import read

from .study_results import measured, result

BASE = ROOT / 'docs/study/base.yaml'


@pytest.fixture(name='write')
def _write(tmp_path):
    """Write a study that inherits the bundled settings."""

    def write(*runs, **settings):
        path = tmp_path / 'study.yaml'
        path.write_text(
            yaml.safe_dump(
                dict(_base_=str(BASE), runs=list(runs), **settings)))
        return path

    return write


def entry(**settings):
    return dict(
        dict(pipeline='faster-rcnn', method='sgd', batch=16, lr=0.02),
        **settings)


def test_lists_are_multiplied_out(write):
    study = read_study(
        write(
            entry(method=['sgd', 'agvm-sgd'], lr=[0.02, 0.04]), entry(seed=3)))
    runs = list(expand(study, []))
    assert len({run.name for run in runs}) == 5
    assert runs[-1].name == 'faster-rcnn_sgd_bs16_lr0.02_seed3_val'


def test_the_best_rate_is_that_of_the_validation_split(write):
    study = read_study(write(entry(lr='best', seed=[1, 2], split='test')))
    assert [run.lr for run in expand(study, [])] == [None, None]
    assert missing(study, []) == []
    one = Run('faster-rcnn', 'sgd', 16, 0.02)
    results = [
        result(one, 0.1),
        result(Run('faster-rcnn', 'sgd', 16, 0.04), 0.2),
        # Neither another batch, nor the test split, nor a control.
        result(Run('faster-rcnn', 'sgd', 256, 0.08), 0.3),
        result(Run('faster-rcnn', 'sgd', 16, 0.16, split='test'), 0.4),
        result(Run('faster-rcnn', 'sgd', 16, 0.32, tag='control'), 0.5),
    ]
    assert [(r.lr, r.seed) for r in expand(study, results)] == [(0.04, 1),
                                                                (0.04, 2)]
    assert best_lr(results, vars(one)) == 0.04


def test_where_rates_have_several_seeds_their_mean_chooses():
    results = [
        result(Run('faster-rcnn', 'sgd', 16, lr, seed), final)
        for lr, finals in {
            0.02: [0.3, 0.3, 0.3],
            0.04: [0.5, 0.1, 0.1],
            0.08: [0.6],  # tried once only
        }.items() for seed, final in enumerate(finals)
    ]
    assert best_lr(results, results[0]['run']) == 0.02


def test_a_best_rate_waits_for_all_of_the_first_stage(write):
    study = read_study(
        write(
            entry(lr=[0.02, 0.04]), entry(lr='best', split='test'),
            entry(
                lr='best of sgd',
                method='sgd-measured',
                split='test',
                tag='baseline'),
            entry(
                lr='best',
                split='test',
                tag='constant',
                constant_scale='sgd-measured')))
    results = [result(Run('faster-rcnn', 'sgd', 16, 0.02), 0.1)]
    assert [run.lr for run in missing(study, results)] == [0.04]
    results.append(result(Run('faster-rcnn', 'sgd', 16, 0.04), 0.2))
    first, second = missing(study, results)
    assert (first.method, first.lr) == ('sgd', 0.04)
    assert (second.method, second.lr) == ('sgd-measured', 0.04)
    results.append(result(first, 0.2))
    results.append(result(second, 0.2, agvm=measured(backbone=1, neck=1)))
    last, = missing(study, results)
    assert last.tag == 'constant'
    scaled = last.set['optim_wrapper.paramwise_cfg']['custom_keys']
    assert scaled['neck'] == dict(lr_mult=1.5)  # the mean of 1 and 2
    cfg = build_config(study, last)
    assert cfg.optim_wrapper.paramwise_cfg.custom_keys.neck.lr_mult == 1.5


@pytest.mark.parametrize(('wrong', 'message'), [
    (dict(method='sdg'), r"name 'sdg', .* of the methods; .*agvm-sgd"),
    (dict(pipeline='yolo'), r"name 'yolo', .* of the pipelines; .* faster"),
    (dict(lr='best of sdg'), r"name 'sdg', .* of the methods; .*agvm-sgd"),
    (dict(learning_rate=1), r"a run has no 'learning_rate'; it has .*lr"),
])
def test_a_wrong_study_is_refused(write, wrong, message):
    with pytest.raises(ValueError, match=message):
        read_study(write(entry(**wrong)))
    with pytest.raises(ValueError, match='is without batch, lr'):
        read_study(write(dict(pipeline='faster-rcnn', method='sgd')))
    with pytest.raises(ValueError, match='is without runs: a study has res'):
        read_study(ROOT / 'docs/study/base.yaml')
    broken = write(entry())
    broken.write_text('runs: [')
    with pytest.raises(ValueError, match='cannot be read as YAML: while pars'):
        read_study(broken)
    with pytest.raises(FileNotFoundError, match='name a study as'):
        read_study('missing.yaml')


@pytest.mark.parametrize(('text', 'message'), [
    ('', 'cannot be read as YAML: '),
    ('[1]', 'cannot be read as YAML: '),
    ('_base_: BASE\nruns: {pipeline: faster-rcnn}', 'runs=.* be a list'),
    ('_base_: BASE\nruns:', 'runs=None must be a list, as in docs/study'),
    ('_base_: BASE\nruns: [faster-rcnn]', "run 'faster-rcnn' must be a dict"),
    ('_base_: BASE\nruns: []\nvariants:', 'variants=None must be a dict'),
    ('_base_: BASE\nruns: []\npage: me', "page='me' must be a dict"),
    ('_base_: BASE\nruns: []\nvariants: {}\npage: {title: T}',
     'is without page.protocol: a study with a protocol or'),
    ('_base_: OTHER\nruns: {batch: 8}', 'cannot be read as YAML: '),
])
def test_parts_of_another_form_are_refused(tmp_path, text, message):
    path = tmp_path / 'study.yaml'
    path.write_text(
        text.replace('BASE', str(BASE)).replace(
            'OTHER', str(BASE.with_name('quick.yaml'))))
    with pytest.raises(ValueError, match=message):
        read_study(path)


@pytest.mark.parametrize(
    'path',
    sorted(path for path in BASE.parent.glob('*.yaml')
           if not path.stem.endswith('base')),
    ids=lambda p: p.stem)
def test_every_run_of_the_bundled_studies_has_a_config(path):
    study = read_study(path)
    runs = list(expand(study, []))
    assert len({run.name for run in runs}) == len(runs)
    updates = 100 if 'protocol' in study else None
    for run in {(run.pipeline, run.method): run for run in runs}.values():
        cfg = build_config(
            study, dataclasses.replace(run, lr=0.01, updates=updates))
        assert cfg.total_batch_size == run.batch


@pytest.mark.parametrize('batch', [8, 32, 128])
@pytest.mark.parametrize('method', ['sgd', 'agvm-sgd', 'agvm-adamw', 'lamb'])
def test_a_run_has_the_same_images_at_every_batch(write, batch, method):
    study = read_study(write(entry()))
    run = Run('faster-rcnn', method, batch, 0.3, split='test')
    cfg = build_config(study, run)
    updates = -(-study.data.num_train // batch)
    assert cfg.train_cfg.max_epochs == study.epochs
    assert cfg.optim_wrapper.optimizer.lr == 0.3
    warmup = cfg.param_scheduler[0]['end']
    assert warmup == round(study.warmup_epochs * updates)
    assert 'test' in cfg.val_dataloader.dataset.ann_file
    assert cfg.val_evaluator.ann_file == (
        'data/study/annotations/instances_test.json')
    assert 'train' in cfg.train_dataloader.dataset.ann_file
    if 'agvm' in method:
        agvm = cfg.optim_wrapper.agvm
        assert warmup < agvm.begin < 0.2 * study.epochs * updates
        assert study.epochs * updates / agvm.interval == (study.measurements)


@pytest.mark.parametrize('name', ['../secret.png', '/etc/secret.png'])
def test_images_outside_of_the_data_are_refused(tmp_path, name):
    (tmp_path / 'annotations').mkdir()
    (tmp_path / 'annotations/instances_train.json').write_text(
        json.dumps(dict(images=[dict(id=1, file_name=name)], annotations=[])))
    with pytest.raises(ValueError, match=r'lies outside of .*/train: make'):
        pretrain_digits.read_crops(tmp_path, 'train')


def test_a_backbone_is_pretrained(tmp_path, capsys):
    data_root = write_digits(
        tmp_path / 'data', num_train=32, num_val=4, size=64)
    out = tmp_path / 'weights.pth'
    command = [
        f'{ROOT}/configs/study/faster-rcnn_r18_fpn_digits.py',
        str(out), '--epochs', '1', '--data-root'
    ]
    pretrain_digits.main([*command, str(data_root)])
    assert 'of unseen ones are told' in capsys.readouterr().out
    saved = read(out)['state_dict']
    assert all(name.startswith('backbone.') for name in saved)
    with pytest.raises(
            SystemExit,
            match=r'^pretrain_digits\.py: .* does not exist; make'):
        pretrain_digits.main([*command, str(tmp_path)])


def test_run_and_report(write, tmp_path):
    weights = tmp_path / 'weights.pth'
    config = tmp_path / 'config.py'
    config.write_text(
        f"_base_ = '{ROOT}/configs/study/faster-rcnn_r18_fpn_digits.py'\n"
        f"model = dict(backbone=dict(init_cfg=dict(checkpoint='{weights}')))")
    study = write(
        entry(method='agvm-sgd', batch=4),
        entry(method='agvm-sgd', batch=[4], lr='best', split='test'),
        data=dict(
            root=str(tmp_path / 'data'),
            num_train=32,
            num_val=4,
            num_test=4,
            size=64,
            seed=0),
        epochs=2,
        warmup_epochs=0.5,
        val_interval=1,
        milestones=[1],
        pretrained={
            '_delete_': True,
            str(weights): str(config)
        },
        pipelines={
            'faster-rcnn':
            dict(
                _delete_=True,
                config=str(config),
                weights=str(weights),
                metric='coco/bbox_mAP')
        })
    results = tmp_path / 'results'
    output = run_command('python', 'tools/study.py', 'run', study, '--results',
                         results, '--jobs', 2, '--work-dir',
                         tmp_path / 'logs')
    assert f'{weights} is missing, and is made' in output
    found = {p.stem: json.loads(p.read_text()) for p in results.iterdir()}
    assert sorted(found) == [
        'faster-rcnn_agvm-sgd_bs4_lr0.02_seed0_test',
        'faster-rcnn_agvm-sgd_bs4_lr0.02_seed0_val',
    ]
    for one in found.values():
        assert [epoch for epoch, _ in one['metric']] == [1, 2]
        assert one['loss'][-1][1] < one['loss'][0][1]
        assert not one['diverged']
    modules = found['faster-rcnn_agvm-sgd_bs4_lr0.02_seed0_val']['agvm']
    assert set(modules['lr_scale']) == {
        'backbone', 'neck', 'rpn_head', 'roi_head.bbox_head'
    }

    # What is done is not done again.
    assert missing(read_study(study), list(found.values())) == []
