"""What is written into a run's log is what is read back from it."""
import json

import pytest
from reports.logs import modules_of, read_log, read_rows


def write_log(folder, rows, config=None):
    folder.mkdir(parents=True)
    if config is not None:
        (folder / 'config.py').write_text(config)
    (folder / 'scalars.json').write_text('\n'.join(map(json.dumps, rows)))


def test_a_resumed_run_replaces_what_it_did_again(tmp_path):
    row = {'loss': 1.0, 'agvm/variance/neck': 0.1}
    write_log(tmp_path / '1/vis_data',
              [dict(row, step=step) for step in (1, 2, 3, 4)])
    write_log(tmp_path / '2/vis_data',
              [dict(row, step=step, resumed=True) for step in (3, 4, 5)])
    rows = read_log(tmp_path)
    assert [row['step'] for row in rows] == [1, 2, 3, 4, 5]
    assert [row.get('resumed') for row in rows] == [None] * 2 + [True] * 3
    assert [row['update'] for row in rows] == [1, 2, 3, 4, 5]
    assert modules_of(rows) == ['neck']


def test_a_run_that_begins_anew_is_another(tmp_path):
    """As after a quick look at a few updates, each of which was logged."""
    row = {'loss': 1.0, 'agvm/variance/neck': 0.1}
    write_log(tmp_path / '1/vis_data',
              [dict(row, step=step) for step in range(1, 30)])
    write_log(tmp_path / '2/vis_data',
              [dict(row, step=step) for step in (20, 40)])
    assert len(read_rows(tmp_path)) == 21  # nothing tells what it was
    (tmp_path / '2/2.log').write_text('Iter(train) [20/40]')
    assert [row['step'] for row in read_rows(tmp_path)] == [20, 40]


def test_what_a_resume_threw_away_is_left_out(tmp_path):
    """Validated more often than logged, and resumed before the last."""
    config = 'train_cfg = dict(max_iters=200)'
    write_log(tmp_path / '1/vis_data', [
        dict(loss=1.0, step=50), dict(mAP=0.1, step=60),
        dict(loss=1.0, step=100), dict(mAP=0.2, step=100),
        dict(mAP=0.9, step=110)
    ], config)
    write_log(tmp_path / '2/vis_data', [
        dict(mAP=0.3, step=110), dict(loss=1.0, step=150)
    ], config)
    (tmp_path / '2/2.log').write_text('resumed epoch: 0, iter: 100')
    rows = read_rows(tmp_path)
    assert [row['mAP'] for row in rows if 'mAP' in row] == [0.1, 0.2, 0.3]
    assert [row['update'] for row in rows] == [50, 60, 100, 100, 110, 150]


def test_a_validation_by_iterations_whose_step_is_an_epoch(tmp_path):
    """As LoggerHook writes it by default: 0."""
    config = 'train_cfg = dict(max_iters=200)'
    told = [
        row for step in (50, 100, 150)
        for row in (dict(loss=1.0, step=step), dict(mAP=step / 1e3, step=0))
    ]
    write_log(tmp_path / '1/vis_data', told, config)
    write_log(tmp_path / '2/vis_data',
              [dict(mAP=0.9, step=0), dict(loss=1.0, step=150),
               dict(mAP=0.8, step=0)], config)  # yapf: disable
    (tmp_path / '2/2.log').write_text('resumed epoch: 0, iter: 100')
    assert [(row['update'], row['mAP'])
            for row in read_rows(tmp_path) if 'mAP' in row] == [
                (50, 0.05), (100, 0.1), (100, 0.9), (150, 0.8)]


def test_updates_of_a_run_that_resumes_on_fewer_processes(tmp_path):
    row = {'loss': 1.0, 'agvm/variance/neck': 0.1}
    write_log(tmp_path / '1/vis_data',
              [dict(row, step=step) for step in (2, 4, 6)],
              'optim_wrapper = dict(accumulative_counts=2)')
    write_log(tmp_path / '2/vis_data',
              [dict(row, step=step, resumed=True) for step in (12, 15, 16)],
              'optim_wrapper = dict(g=dict(optimizer={}, '
              'accumulative_counts=4), d=dict(optimizer={}))')
    rows = read_log(tmp_path)
    assert [row['update'] for row in rows] == [1, 2, 3, 4, 4]
    assert [row.get('resumed') for row in rows] == [None] * 2 + [True] * 3


def test_no_log_and_no_agvm_are_errors(tmp_path):
    with pytest.raises(ValueError, match=r'holds no .*scalars\.json'):
        read_log(tmp_path)
    write_log(tmp_path / '1/vis_data', [dict(step=1, loss=1.0)])
    with pytest.raises(ValueError, match='holds no agvm/ scalars'):
        read_log(tmp_path)
    write_log(tmp_path / '2/vis_data',
              [{'step': 1, 'loss': float('nan'), 'agvm/skipped': 1}])
    with pytest.raises(ValueError, match='none of the measurements that were'):
        read_log(tmp_path)


def test_validations_are_rows_too(tmp_path):
    write_log(
        tmp_path / '1/vis_data', [
            dict(step=2, loss=1.0),
            dict(step=1, mIoU=0.5),
            dict(step=4, loss=0.5),
        ], 'optim_wrapper = dict(accumulative_counts=2)')
    # A test of the run, later: it is no part of the training.
    write_log(tmp_path / '2/vis_data', [dict(step=0, mIoU=0.9)])
    rows = read_rows(tmp_path)
    assert [(row['update'], row.get('mIoU')) for row in rows] == [(1, None),
                                                                  (1, 0.5),
                                                                  (2, None)]
    assert {row['micro_batches'] for row in rows} == {2}


def test_names_with_their_hierarchy(tmp_path):
    """As a log processor with log_with_hierarchy writes them."""
    row = {'train/loss': 1.0, 'train/agvm/variance/neck': 0.1, 'step': 1}
    write_log(tmp_path / '1/vis_data', [row])
    assert modules_of(read_log(tmp_path)) == ['neck']


def test_a_line_that_a_kill_has_cut_is_left_out(tmp_path):
    row = {'loss': 1.0, 'agvm/variance/neck': 0.1}
    write_log(tmp_path / '1/vis_data',
              [dict(row, step=step) for step in (1, 2)])
    log = tmp_path / '1/vis_data/scalars.json'
    log.write_text(log.read_text()[:-5])
    assert [row['step'] for row in read_log(tmp_path)] == [1]


@pytest.mark.parametrize('config', [
    'optim_wrapper = dict(accum',
    'clip_grad = dict(max_norm=inf)',  # As MMEngine dumps a float('inf').
])
def test_a_damaged_config_is_one_error(config, tmp_path):
    write_log(tmp_path / '1/vis_data', [dict(step=1, loss=1.0)], config)
    with pytest.raises(ValueError, match=r'config\.py is no config \('):
        read_rows(tmp_path)
