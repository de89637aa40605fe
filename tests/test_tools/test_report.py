"""The report of a run: what it reads, says and writes."""
import json
import math
import re

import pytest
import report
from reports.judging import compare, judge, reason_of
from reports.reading import read_run

from tests.commands import RETINANET, options
from tests.stack import plotly
from tests.test_tools.report_runs import (
    BASELINE,
    lines,
    told,
    training,
    write_process,
    write_run,
)

FIGURES = re.compile('<script type="application/json" id="figures">(.*?)'
                     '</script>')


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


@pytest.mark.parametrize('make', [
    lambda folder: folder / 'gone',
    lambda folder: folder,
    lambda folder: write_process(folder, '1', []),
    lambda folder: write_process(folder, '1', [dict(step=0, mIoU=1.0)]),
])
@plotly
def test_what_holds_no_training_is_one_line(make, tmp_path):
    with pytest.raises(SystemExit, match=r'^report\.py: .* holds no '):
        report.main([str(make(tmp_path))])


def without_plotly(monkeypatch):
    monkeypatch.setattr(report.importlib.util, 'find_spec', lambda name: None)


def test_without_plotly(monkeypatch, tmp_path):
    without_plotly(monkeypatch)
    with pytest.raises(SystemExit, match='drawn by plotly, which is not '):
        report.main([str(write_run(tmp_path / 'run'))])


def test_training_without_plotly_stops_before(monkeypatch, tmp_path, digits):
    train = pytest.importorskip('train')
    without_plotly(monkeypatch)
    with pytest.raises(SystemExit, match=r'^train\.py: the report is drawn'):
        train.main([
            str(RETINANET), '--report', '--work-dir',
            str(tmp_path / 'run'), *options(digits)
        ])
    assert not (tmp_path / 'run').exists()


def figures_of(text):
    return json.loads(FIGURES.search(text)[1])


@plotly
def test_one_file(tmp_path, capsys):
    work_dir = write_run(tmp_path / 'run <1>')
    report.main([str(work_dir)])
    said = capsys.readouterr().out.splitlines()
    assert said[0] == 'run <1>'
    assert said[1].startswith('  By their noise scales bbox_head could use a ')
    assert said[-1] == f'wrote {work_dir}/report.html'
    text = (work_dir / 'report.html').read_text()
    assert (work_dir / 'report.html').stat().st_size < 6e6
    assert '<h1>Training report: run &lt;1&gt;</h1>' in text
    assert len(re.findall('class="chart"', text)) == len(figures_of(text))
    assert len(figures_of(text)) == 10
    # Nothing is loaded from anywhere.
    head = text.replace(FIGURES.search(text)[0], '')
    assert re.findall(r'<(?:link|img|iframe)\b[^>]*?="(?!data:,|icon")',
                      head) == []
    assert '<script src' not in text


@plotly
def test_two_runs_have_the_same_axes_and_colours(tmp_path):
    out = tmp_path / 'both.html'
    report.main([
        str(write_run(tmp_path / name, scale=scale))
        for name, scale in (('without', 0.0), ('with', 1.0))
    ] + ['--out', str(out)])
    figures = figures_of(out.read_text())
    by_module = [[figures[i], figures[i + 1]] for i in range(2, 12, 2)]
    for pair in by_module:
        axes = [(f['layout']['xaxis']['range'], f['layout']['yaxis']['range'])
                for f in pair]
        assert axes[0] == axes[1]
        colours = [{
            t['name']: t['line']['color']
            for t in f['data']
        } for f in pair]
        assert colours[0] == colours[1]
    factors = by_module[2]
    assert {t['line'].get('dash') for t in factors[0]['data']} == {'solid'}
    assert {t['line'].get('dash') for t in factors[1]['data']} == {'dash'}
    # The axes hold what either run has.
    low, high = factors[0]['layout']['yaxis']['range']
    assert low < 1
    assert high > 2


@plotly
def test_a_baseline_has_fewer_charts(tmp_path):
    work_dir = write_run(tmp_path / 'plain', agvm=False, config=BASELINE)
    report.main([str(work_dir)])
    assert len(figures_of((work_dir / 'report.html').read_text())) == 4


@plotly
def test_a_long_run_is_no_larger(tmp_path):
    rows = [row for row in training(1, 2000) if 'loss' in row]
    rows[10]['loss'] = math.nan
    out = tmp_path / 'long.html'
    runs = [
        str(write_process(tmp_path / name, '1', rows, lines(1, 20)))
        for name in 'ab'
    ]
    report.main([*runs, '--out', str(out)])
    assert out.stat().st_size < 6e6
    assert 'NaN' not in FIGURES.search(out.read_text())[1]


@plotly
def test_what_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(SystemExit, match=r'cannot be written .*--out'):
        report.main([
            str(write_run(tmp_path / 'run')), '--out',
            str(tmp_path / 'gone/report.html')
        ])


def luminance(colour):
    """As WCAG defines it."""
    parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055)**2.4
        for part in parts
    ]
    return sum(k * part for k, part in zip((0.2126, 0.7152, 0.0722), linear))


@plotly
def test_every_colour_is_seen_on_light_and_on_dark():
    """At 3 to 1, which WCAG asks of graphics."""
    from reports import charts, page
    style = (page.HERE / 'page.css').read_text()
    backs = re.findall(r'--back: (#\w{6});', style)
    assert len(backs) == 2
    for colour in (*charts.COLOURS, charts.RULE):
        for back in backs:
            dark, light = sorted(map(luminance, (colour, back)))
            assert (light + 0.05) / (dark + 0.05) > 3
