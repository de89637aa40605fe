"""A protocol: its trials, its targets, its best trials, its runs' configs."""
import dataclasses
import functools
import math

import pytest
import yaml
from studies.grid import expand, missing, read_study
from studies.protocol import Protocol, best_trial
from studies.run_config import build_config
from studies.runs import Run
from studies.trials import trials, unit_points

from tests.commands import ROOT

from .protocol_study import (
    ENTRIES,
    SETTINGS,
    curve,
    trials_done,
    write_protocol,
)
from .study_results import trained


@pytest.fixture(name='write')
def _write(tmp_path):
    return functools.partial(write_protocol, tmp_path / 'digits.yaml')


@pytest.fixture(name='study')
def _study(write):
    return read_study(write())


def test_trials_are_the_same_for_all_and_fill_the_square():
    of = {
        (method, batch): trials(SETTINGS, method, batch)
        for method in SETTINGS['rate']
        for batch in (8, 32)
    }
    assert of['sgd', 8] == of['agvm-sgd', 8]
    # Twice the rate at four times the batch, but for rounding.
    for (small, _), (large, _) in zip(of['sgd', 8], of['sgd', 32]):
        assert large == pytest.approx(2 * small, rel=0.01)
    assert all(
        0.01 <= lr <= 0.16 and 100 <= updates <= 400 and updates % 10 == 0
        for lr, updates in of['sgd', 8])
    # Even in logarithms: one of four trials in each quarter of both axes.
    drawn = trials(dict(SETTINGS, trials=4), 'sgd', 8)
    for values, low, high in zip(zip(*drawn), (0.01, 100), (0.16, 400)):
        shares = [math.log(v / low) / math.log(high / low) for v in values]
        assert sorted(int(4 * share) for share in shares) == [0, 1, 2, 3]


def test_more_trials_keep_the_first_ones():
    drawn = unit_points(8, 1)
    assert unit_points(5, 1) == drawn[:5]
    # Whatever the version of scipy: names of results depend on it.
    assert [round(x, 4) for point in drawn[:2]
            for x in point] == [0.1555, 0.5887, 0.8384, 0.1041]


def test_targets_are_shares_of_the_best_small_batch_run(study):
    # Six trials, in which one of AGVM is the best.
    results = trials_done(study, 8, [0.3, 0.4, 0.2, 0.1, 0.5, 0.3])
    assert Protocol(study, results[:5]).targets('faster-rcnn') is None
    assert Protocol(study, results).targets('faster-rcnn') == [0.45, 0.375]
    # Not of other batches, other splits or controls.
    run = Run('faster-rcnn', 'sgd', 8, 0.02, tag='control', updates=100)
    more = [
        trained(run, curve(0.9)),
        trained(dataclasses.replace(run, tag='', split='test'), curve(0.9))
    ]
    more += trials_done(study, 32, [0.9] * 6)
    protocol = Protocol(study, [*results, *more])
    assert protocol.targets('faster-rcnn') == [0.45, 0.375]
    # Nothing learned is no target that all reach at once.
    nothing = Protocol(study, trials_done(study, 8, [0.0] * 6))
    assert nothing.targets('faster-rcnn') == [math.inf, math.inf]
    assert {run.stop_at for run in nothing.ready()} == {None}


def test_the_best_trial_is_the_fastest():
    runs = [
        Run('faster-rcnn', 'sgd', 32, lr, updates=updates)
        for lr, updates in ((0.1, 100), (0.2, 200), (0.3, 400))
    ]
    slow, fast, high = (trained(run, curve(last))
                        for run, last in zip(runs, (0.30, 0.44, 0.46)))
    # Only one reached 0.45; to 0.4 the other was there first.
    assert best_trial([slow, fast, high], [0.45, 0.4]) is high
    assert best_trial([slow, fast, high], [0.5, 0.4]) is fast
    assert best_trial([slow, fast, high], [0.6, 0.5]) is high
    assert best_trial([slow, fast], [0.6, 0.2]) is slow


def test_runs_wait_for_what_they_depend_on(study):
    first = missing(study, [])
    assert {run.batch for run in first} == {8}
    assert len(first) == 6
    results = trials_done(study, 8, [0.3, 0.4, 0.2, 0.1, 0.5, 0.3])
    assert [run.lr for run in missing(study, results[:5])] == [first[5].lr]
    # Then the other trials, which end at the target, and final runs at 8.
    second = missing(study, results)
    assert [(run.batch, run.split, run.stop_at) for run in second
            ] == [*[(32, 'val', 0.45)] * 6, *[(8, 'test', None)] * 5]
    # Those of sgd: at the trial that reached 0.375 alone.
    assert {(run.lr, run.updates)
            for run in second[6:8]} == {(first[1].lr, first[1].updates)}
    measured = second[-1]
    assert (measured.method, measured.lr) == ('sgd-measured', first[1].lr)
    # The last of AGVM's is missing: the cells of sgd begin all the same.
    results += trials_done(study, 32, [0.2, 0.3, 0.4, 0.1, 0.2])
    assert {(run.method, run.batch)
            for run in missing(study, results)
            if run.split == 'test'} == {('sgd', 8), ('sgd', 32),
                                        ('agvm-sgd', 8), ('sgd-measured', 8),
                                        ('sgd-measured', 32)}
    results += trials_done(study, 32, [0.2, 0.3, 0.4, 0.1, 0.2, 0.2])[5:]
    results += [trained(run, curve(0.4)) for run in missing(study, results)]
    assert missing(study, results) == []
    assert all(run.lr for run in expand(study, results))


def test_a_trial_that_ended_at_another_target_is_told(study):
    results = trials_done(study, 8, [0.3, 0.4, 0.2, 0.1, 0.5, 0.3])
    old = [
        trained(dataclasses.replace(run, stop_at=0.4), curve(0.4))
        for run in missing(study, results) if run.split == 'val'
    ]
    with pytest.raises(
            ValueError,
            match=r'bs32.* ended at 0\.4, and the '
            r'upper target is 0\.45 by now.*: remove'):
        missing(study, [*results, *old])


@pytest.mark.parametrize(('wrong', 'message'), [
    (dict(trials=0), r'protocol.trials=0 must be an int >= 1'),
    (dict(rate=dict(sgd=['4e-4', 0.1])), r"rate=.*'4e-4'.* a range of"),
    (dict(targets=[0.75, 0.9]), 'targets=.* the highest first'),
    (dict(targets=['0.9', 0.75]), 'targets=.* the highest first'),
    (dict(targets=[]), 'targets=.* the highest first'),
    (dict(targets=0.9), r'targets=0\.9 must be numbers between'),
    (dict(warmup=2), 'warmup=2 must be a number between 0 and 1'),
    (dict(compare=['sgd']), 'compare=.*must be pairs of methods'),
    (dict(compare=[1]), 'compare=.*must be pairs of methods'),
    (dict(reference=[]), 'reference=.*must be a list of methods'),
    (dict(budget=1), "protocol has no 'budget'; it has trials, "),
    (dict(horizon={8: [100, 200]}), 'protocol.horizon has no 32: add it to 8'),
    (dict(rate=dict(sgd=[0.01, 0.1])), "protocol.rate has no 'agvm-sgd'"),
    (dict(reference=['adamw']), 'trials of adamw at batch 8, and no run is'),
])
def test_a_wrong_protocol_is_refused(write, wrong, message):
    with pytest.raises(ValueError, match=message):
        read_study(write(**wrong))


@pytest.mark.parametrize(('wrong', 'message'), [
    (dict(lr='best'), "has lr='best', which is of final runs: give it split"),
    (dict(lr='trials', updates=100), "updates beside lr='trials'"),
    (dict(lr=0.1, updates=100, split='test'), r"split='test' and lr=0\.1: a"),
    (dict(lr=0.1), 'updates=None beside a number as lr.*validations=10'),
    (dict(lr=0.1, updates=105), 'updates=105 .* a multiple of'),
    (dict(lr='worst'), r"lr='worst', which must be a number .*'best of METH"),
    (dict(lr='4e-4'), r"lr='4e-4', which must be a number \(YAML reads"),
    (dict(lr='best  of sgd', split='test'), "lr='best  of sgd', which must"),
    (dict(lr=0.1, constant_scale='sgd'), 'has a constant_scale'),
    (dict(lr=0.1, stop_at=0.1), "a run has no 'stop_at'"),
])
def test_runs_that_follow_no_protocol_are_refused(write, wrong, message):
    entry = dict(pipeline='faster-rcnn', method='sgd', batch=8, **wrong)
    with pytest.raises(ValueError, match=message):
        read_study(write(*ENTRIES, entry))


def test_trials_need_a_protocol(tmp_path):
    path = tmp_path / 'study.yaml'
    path.write_text(
        yaml.safe_dump(
            dict(_base_=str(ROOT / 'docs/study/base.yaml'), runs=ENTRIES[:1])))
    with pytest.raises(ValueError, match='and the study has no protocol'):
        read_study(path)


def test_a_run_has_its_horizon(study):
    run = Run(
        'faster-rcnn', 'agvm-sgd', 32, 0.3, updates=200, stop_at=0.45, seed=3)
    cfg = build_config(study, run)
    assert cfg.train_cfg.max_iters == 200
    assert cfg.train_cfg.val_interval == 20
    warm, cosine = cfg.param_scheduler
    assert (warm.end, cosine.begin, cosine.end) == (20, 20, 200)
    assert cfg.optim_wrapper.agvm.begin == 24
    assert cfg.optim_wrapper.agvm.interval == 2
    assert cfg.default_hooks.logger.interval == 4
    assert cfg.randomness.seed == 3
    assert cfg.optim_wrapper.clip_grad.max_norm == study.clip_grad.max_norm
    stop = cfg.custom_hooks[-1]
    assert 0.4499 < stop.stopping_threshold < 0.45
    assert 'val' in cfg.val_dataloader.dataset.ann_file
    assert cfg.test_dataloader is None
    whole = dataclasses.replace(run, split='test', stop_at=None)
    cfg = build_config(study, whole)
    assert 'val' in cfg.val_dataloader.dataset.ann_file
    assert 'test' in cfg.test_dataloader.dataset.ann_file
    assert 'test' in cfg.test_evaluator.ann_file
    assert cfg.default_hooks.checkpoint.save_last
    assert cfg.custom_hooks[-1].type != 'EarlyStoppingHook'


@pytest.mark.parametrize('pipeline', ['retinanet', 'faster-rcnn'])
def test_a_final_run_on_photographs(pipeline):
    study = read_study(ROOT / 'docs/study/bccd.yaml')
    study.data.size = [96, 72]
    run = Run(pipeline, 'adamw', 64, 0.001, 1, 'test', updates=100)
    cfg = build_config(study, run)
    read = {
        loader: cfg[loader].dataset.ann_file
        for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader')
    }
    assert read == {
        f'{split}_dataloader': f'ImageSets/Main/{split}.txt'
        for split in ('train', 'val', 'test')
    }
    assert cfg.test_dataloader.dataset.data_root == f'{study.data.root}/'
    kept, *_ = cfg.test_dataloader.dataset.pipeline
    assert [step.scale for step in kept.transforms
            if 'scale' in step] == [(96, 72)]
    assert {'studies.in_memory',
            'agvm_mm.optimizers'} < {*cfg.custom_imports.imports}
    assert cfg.max_samples_per_gpu == 8
