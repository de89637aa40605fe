"""The report as one HTML file that needs nothing beside it."""
from __future__ import annotations

import json
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Sequence

from plotly.offline import get_plotlyjs

import agvm_mm

from .charts import Section, sections
from .facts import differing, facts
from .journal import Event
from .judging import compare, judge
from .run import Run

HERE = Path(__file__).parent
PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
<footer>Written by agvm_mm {version}, {now}. The rule behind each sentence is
in docs/report.md.</footer>
</main>
<script>{plotly}</script>
<script type="application/json" id="figures">{figures}</script>
<script>
{script}</script>
</body>
</html>
"""


def page(runs: Sequence[Run]) -> str:
    """The whole file.

    Args:
        runs (Sequence[Run]): One, or several side by side.
    """
    shown = sections(runs)
    figures = [
        chart.figure.to_plotly_json() for section in shown
        for chart in section.charts
    ]
    body = [_verdict(runs), '<section><h2>What ran</h2>', _facts(runs)]
    different = differing(runs)
    if different:
        heads = ['setting', *(run.title for run in runs[:2])]
        body.append('<h3>Settings that differ</h3>')
        body.append(_table(heads, [[n, *v] for n, v in different]))
    body.append('</section>')
    body.append('<div class="sections">')
    count = 0
    for section in shown:
        body.append(_section(section, count))
        count += len(section.charts)
    body += ['</div>', _events(runs)]
    return PAGE.format(
        title=escape('Training report: ' + ' and '.join(run.title
                                                        for run in runs)),
        style=(HERE / 'page.css').read_text('utf-8'),
        body='\n'.join(body),
        version=agvm_mm.__version__,
        now=datetime.now().strftime('%Y-%m-%d %H:%M'),
        plotly=get_plotlyjs(),
        figures=_as_script(figures),
        script=(HERE / 'page.js').read_text('utf-8'))


def _as_script(figures: list[dict]) -> str:
    """JSON that cannot end the element that it stands in."""
    return json.dumps(figures, separators=(',', ':')).replace('<', '\\u003c')


def _verdict(runs: Sequence[Run]) -> str:
    parts = ['<section class="verdict"><h2>Verdict</h2>']
    for run in runs:
        if len(runs) > 1:
            parts.append(f'<h3>{escape(run.title)}</h3>')
        parts.append(_list(judge(run) or ['Nothing stands out.']))
    if len(runs) > 1:
        parts.append('<h3>Side by side</h3>')
        parts.append(_list(compare(runs) or ['They log nothing in common.']))
    return '\n'.join([*parts, '</section>'])


def _list(sentences: Sequence[str]) -> str:
    items = ''.join(f'<li>{escape(sentence)}</li>' for sentence in sentences)
    return f'<ul>{items}</ul>'


def _facts(runs: Sequence[Run]) -> str:
    heads = ['', *(run.title for run in runs)] if len(runs) > 1 else None
    return _table(heads, [[name, *values] for name, values in facts(runs)])


def _section(section: Section, first: int) -> str:
    wide = ' class="wide"' if len(section.charts) > 1 else ''
    parts = [
        f'<section{wide}><h2>{escape(section.title)}</h2>',
        f'<p>{escape(section.note)}</p>', '<div class="charts">'
    ]
    for index, chart in enumerate(section.charts, first):
        title, head = escape(section.title), ''
        if chart.title != section.title:
            head = f'<h3>{escape(chart.title)}</h3>'
            title += f': {escape(chart.title)}'
        parts.append(f'<figure>{head}<div class="chart" id="chart-{index}" '
                     f'role="img" aria-label="{title}"></div></figure>')
    return '\n'.join([*parts, '</div></section>'])


def _events(runs: Sequence[Run]) -> str:
    rows = [[run.title, *_event(event)] for run in runs
            for event in run.journal.events]
    heads = ['run', 'update', 'time', 'what', 'as the log says']
    if len(runs) == 1:
        heads, rows = heads[1:], [row[1:] for row in rows]
    told = _table(heads, rows) if rows else (
        "<p>None: no resume, no preemption, no warning of AGVM's.</p>")
    return f'<section><h2>Events</h2>{told}</section>'


def _event(event: Event) -> list[str]:
    update = '' if event.update is None else f'{event.update:,}'
    return [update, event.time, event.kind, event.text]


def _table(heads: Sequence[str] | None, rows: Sequence[Sequence[str]]) -> str:
    head = '' if heads is None else ('<tr>' +
                                     ''.join(f'<th>{escape(name)}</th>'
                                             for name in heads) + '</tr>')
    body = ''.join(f'<tr><th>{escape(first)}</th>' +
                   ''.join(f'<td>{escape(value)}</td>'
                           for value in rest) + '</tr>'
                   for first, *rest in rows)
    return f'<div class="table"><table>{head}{body}</table></div>'
