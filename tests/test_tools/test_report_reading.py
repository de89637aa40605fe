"""What is read from a work dir, and what is said of it."""
import pytest
from reports.judging import compare, judge, reason_of
from reports.reading import read_run
from reports.worth import measured_range

from tests.test_tools.report_runs import (
    BASELINE,
    lines,
    told,
    training,
    write_process,
    write_run,
)


@pytest.fixture(name='cut')
def _cut(tmp_path):
    return read_run(write_run(tmp_path / 'cut'), 'cut')


def test_what_ran(cut):
    assert cut.modules == ['backbone', 'neck', 'bbox_head']
    assert (cut.processes, cut.micro_batches, cut.total_batch) == (2, 2, 8)
    assert (cut.updates, cut.planned, cut.epoch) == (50, 50, 5)
    assert (cut.begin, cut.due, cut.skipped) == (4, 23, 0)
    assert cut.headlines == ['coco/bbox_mAP']
    # Where MMEngine counts epochs, and each once, of the process that stayed.
    assert [row['update'] for row in cut.metrics] == list(range(5, 51, 5))
    assert cut.final('coco/bbox_mAP') == 0.5
    # 0.5 s each for two iterations.
    assert cut.speed() == 8


def test_the_verdict_of_a_run(cut):
    assert judge(cut) == [
        'By their noise scales bbox_head could use a batch of 6, neck 8, '
        'backbone 12: 8 still pays for backbone and neck, and is past what '
        'bbox_head can use.',
        # Of the smallest median, which is 6.
        measured_range(6.0),
        'AGVM changed rates by up to 2.00 times (bbox_head, update 50).',
        "The variances of the modules' gradients were 4.0 times apart "
        '(largest over smallest median), those of their steps 1.0: AGVM '
        'brought them closer.',
        'Of the time of an update 10% is the wait for data: more workers '
        '(train_dataloader.num_workers) would speed it up.'
    ]


def test_a_baseline_has_no_agvm(tmp_path, cut):
    plain = read_run(
        write_run(tmp_path / 'plain', agvm=False, config=BASELINE), 'plain')
    assert plain.modules == []
    assert [s for s in judge(plain) if 'AGVM' in s] == []
    metric, speed, doubt = compare([plain, cut])
    assert metric == 'coco/bbox_mAP at the end: 0.5 in cut, 0.5 in plain (+0).'
    assert speed == 'Images a second: 8 in cut, 8 in plain (+0.0%).'
    assert doubt.startswith('These are single runs')


def test_agvm_that_has_not_begun(tmp_path):
    run = read_run(
        write_process(tmp_path, '1', training(1, 3), lines(1, 3)), 'short')
    assert judge(run)[:2] == [
        'The log ends at update 3 of 50.',
        'AGVM measured nothing in 3 updates: it begins at update 4.'
    ]


def test_why_measurements_were_skipped(tmp_path):
    why = 'the anchor, backbone, has a gradient that is not finite'
    text = (f'AGVM could not measure the last 10 updates that were due: {why}.'
            ' Learning-rate factors stay as they are meanwhile.')
    rows = training(1, 50)
    rows[-2]['agvm/skipped'] = 10
    work_dir = write_process(
        tmp_path, '1', rows,
        [*lines(1, 50), told(1, text, 'WARNING')])
    run = read_run(work_dir, 'skipped')
    assert reason_of(run) == why
    assert (f'10 of 23 measurements that were due were not taken: {why}.'
            in judge(run))


def test_a_run_whose_measurements_were_all_skipped(tmp_path):
    rows = training(1, 50, agvm=False)
    for row in rows:
        if 'loss' in row and row['step'] > 8:
            row['agvm/skipped'] = (row['step'] // 2 - 3) // 2
    run = read_run(write_process(tmp_path, '1', rows, lines(1, 50)), 'x')
    assert judge(run)[:2] == [
        'AGVM measured nothing in 50 updates: it begins at update 4.',
        '23 of 23 measurements that were due were not taken.'
    ]


def test_names_with_their_hierarchy(tmp_path):
    """As a log processor with log_with_hierarchy writes them."""
    same = {'step', 'time', 'data_time'}
    rows = [{
        key if key in same else f'{"train" if "loss" in row else "val"}/{key}':
        value
        for key, value in row.items()
    } for row in training(1, 10)]
    run = read_run(write_process(tmp_path, '1', rows, lines(1, 10)), 'x')
    assert run.modules == ['backbone', 'neck', 'bbox_head']
    assert run.final('coco/bbox_mAP') == 0.1


def test_logs_without_config_and_text(tmp_path):
    run = read_run(
        write_process(tmp_path, '1', training(1, 10), config=None), 'bare')
    assert (run.total_batch, run.planned, run.options) == (None, None, [])
    assert judge(run)[0].startswith('AGVM changed rates by up to 2.00 times')


def test_a_log_that_was_cut_in_a_line(tmp_path):
    work_dir = write_process(tmp_path, '1', training(1, 10), lines(1, 10))
    log = tmp_path / '1/vis_data/scalars.json'
    log.write_text(log.read_text()[:-20])
    assert read_run(work_dir, 'x').updates == 10


def test_a_test_of_the_run_changes_nothing(tmp_path):
    work_dir = write_process(tmp_path, '1', training(1, 10), lines(1, 10))
    write_process(tmp_path, '2', [{'coco/bbox_mAP': 0.9, 'step': 0}])
    run = read_run(work_dir, 'x')
    assert run.updates == 10
    assert run.final('coco/bbox_mAP') == 0.1
