"""The study's tools, on two tiny trainings."""
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from studies.execute import build_config
from studies.grid import Run, best_lr, expand, read_study
from studies.report import write_report
from study import missing

ROOT = Path(__file__).parent.parent
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


def result(run, final, **more):
    return dict(
        dict(
            name=run.name,
            run=dict(vars(run)),
            final=final,
            diverged=False,
            agvm={}), **more)


def test_lists_are_multiplied_out(write):
    study = read_study(
        write(
            entry(method=['sgd', 'agvm-sgd'], lr=[0.02, 0.04]), entry(seed=3)))
    runs = list(expand(study, []))
    assert len({run.name for run in runs}) == 5
    assert runs[-1].name == 'faster-rcnn_sgd_bs16_lr0.02_seed3_val'


def test_the_best_rate_is_that_of_the_validation_split(write):
    study = read_study(write(entry(lr='best', seed=[1, 2], split='test')))
    assert list(expand(study, [])) == []
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


@pytest.mark.parametrize(('wrong', 'message'), [
    (dict(method='sdg'), r"name the method 'sdg'; there are .*agvm-sgd"),
    (dict(pipeline='yolo'), r"name the pipeline 'yolo'; there are faster"),
    (dict(learning_rate=1), r"a run has no 'learning_rate'; it has .*lr"),
])
def test_a_wrong_study_is_refused(write, wrong, message):
    with pytest.raises(ValueError, match=message):
        read_study(write(entry(**wrong)))
    with pytest.raises(FileNotFoundError, match='name a study as'):
        read_study('missing.yaml')


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
        assert study.epochs * updates / agvm.interval == (
            study.measurements)


def run_tool(*arguments):
    return subprocess.run([sys.executable, *map(str, arguments)],
                          cwd=ROOT,
                          stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT,
                          text=True,
                          timeout=300)


def test_run_and_report(write, tmp_path):
    weights = tmp_path / 'weights.pth'
    config = tmp_path / 'config.py'
    config.write_text(
        f"_base_ = '{ROOT}/configs/study/faster-rcnn_r18_fpn_digits.py'\n"
        f"model = dict(backbone=dict(init_cfg=dict(checkpoint='{weights}')))")
    study = write(
        entry(method=['sgd', 'agvm-sgd']),
        entry(method='sgd', batch=[16], lr='best', split='test'),
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
            dict(_delete_=True, config=str(config), metric='coco/bbox_mAP')
        })
    results = tmp_path / 'results'
    run = (ROOT / 'tools/study.py', 'run', study, '--results', results,
           '--jobs', 2, '--work-dir', tmp_path / 'logs')
    done = run_tool(*run)
    assert done.returncode == 1
    asked = f'python tools/pretrain_digits.py {config} {weights}'
    assert asked in done.stdout.replace('\n', '')
    done = run_tool(ROOT / 'tools/pretrain_digits.py', config, weights,
                    '--data-root', tmp_path / 'data', '--epochs', 2)
    assert done.returncode == 0, done.stdout[-2000:]
    assert 'of unseen ones are told' in done.stdout

    done = run_tool(*run)
    assert done.returncode == 0, done.stdout[-2000:]
    found = {p.stem: json.loads(p.read_text()) for p in results.iterdir()}
    assert sorted(found) == [
        'faster-rcnn_agvm-sgd_bs16_lr0.02_seed0_val',
        'faster-rcnn_sgd_bs16_lr0.02_seed0_test',
        'faster-rcnn_sgd_bs16_lr0.02_seed0_val',
    ]
    for one in found.values():
        assert [epoch for epoch, _ in one['metric']] == [1, 2]
        assert one['loss'][-1][1] < one['loss'][0][1]
        assert not one['diverged']
    modules = found['faster-rcnn_agvm-sgd_bs16_lr0.02_seed0_val']['agvm']
    assert set(modules['lr_scale']) == {
        'backbone', 'neck', 'rpn_head', 'roi_head.bbox_head'
    }

    # What is done is not done again.
    assert missing(read_study(study), results) == []


def test_report(tmp_path):
    (tmp_path / 'study').mkdir()
    results = []
    for batch in (16, 256):
        for seed in range(3):
            run = Run('faster-rcnn', 'sgd', batch, 0.02, seed, 'test')
            results.append(result(run, 0.1 * (seed + 1)))
        measured = dict(variance={'neck': [[1, 0.5], [2, 0.25]]})
        run = Run('faster-rcnn', 'agvm-sgd', batch, 0.04)
        results.append(result(run, 0.3, agvm=measured))
        run = Run('faster-rcnn', 'agvm-sgd', batch, 0.08)
        results.append(result(run, 0.0, diverged=True))
    written = list(write_report(results, tmp_path))
    page = written[-1].read_text()
    assert '| sgd | 16 | 0.02 | 3 | 0.200 | 0.100 |' in page
    assert '| agvm-sgd | 256 | 0.300 | nan |' in page
    assert [p.name for p in written] == [
        'faster-rcnn_batch.png', 'faster-rcnn_variance.png', 'study.md'
    ]
    assert all(path.stat().st_size > 300 for path in written)
    with pytest.raises(ValueError, match='no result to report'):
        list(write_report([], tmp_path))
