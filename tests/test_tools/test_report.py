"""The report of a run: the file that it is, and what is refused."""
import json
import math
import re
import sys

import pytest
import report

from tests.commands import RETINANET, ROOT, call, options
from tests.stack import plotly
from tests.test_tools.report_runs import (
    BASELINE,
    lines,
    training,
    write_process,
    write_run,
)

FIGURES = re.compile('<script type="application/json" id="figures">(.*?)'
                     '</script>')


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


@plotly
def test_the_page_is_utf_8_in_any_locale(tmp_path):
    """As it says of itself."""
    run_dir = write_run(tmp_path / 'run')
    call(sys.executable, ROOT / 'tools/report.py', run_dir, timeout=120,
         LC_ALL='C', PYTHONCOERCECLOCALE='0', PYTHONUTF8='0',
         PYTHONPATH=str(ROOT))  # yapf: disable
    assert '\ufffd' in (run_dir / 'report.html').read_text('utf-8')


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
