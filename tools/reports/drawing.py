"""One trace upon a plotly figure, and what every figure has."""
from __future__ import annotations

import math
from typing import Sequence

import plotly.graph_objects as go

from .run import Run
from .series import smoothed, thinned

RULE = '#8c8c8c'  # of what is no trace: the batch, an event
MOST_POINTS = 800  # of a trace, or a long run would be a large file
DIGITS = 4


def add_trace(figure: go.Figure,
              name: str,
              points: Sequence[tuple[int, float]],
              colour: str,
              dash: str,
              *,
              smooth: bool = True,
              logarithmic: bool = False,
              marked: bool = False) -> None:
    """Draw a trace, or a strong and smoothed one upon a faint one.

    Args:
        figure (go.Figure): It is drawn on.
        name (str): In the legend.
        points (Sequence[tuple[int, float]]): Of the trace. Those that are no
            numbers are left out.
        colour (str): Of it.
        dash (str): As plotly names it.
        smooth (bool): Whether it is smoothed. Defaults to True.
        logarithmic (bool): Whether its axis is, on which no number below 0
            is. Defaults to False.
        marked (bool): Whether each point is marked. Defaults to False.
    """
    points = thinned(
        [(update, value) for update, value in points
         if math.isfinite(value) and (value > 0 or not logarithmic)],
        MOST_POINTS)
    if not points:
        return
    updates, values = (list(column) for column in zip(*points))
    logged = [_rounded(value) for value in values]
    strong = logged
    if smooth and len(points) > 2:
        strong = [_rounded(v) for v in smoothed(values, logarithmic)]
        figure.add_scatter(
            x=updates,
            y=logged,
            name=name,
            legendgroup=name,
            showlegend=False,
            mode='lines',
            line=dict(color=colour, width=1),
            opacity=0.3,
            hoverinfo='skip')
    figure.add_scatter(
        x=updates,
        y=strong,
        name=name,
        legendgroup=name,
        mode='lines+markers' if marked else 'lines',
        line=dict(color=colour, width=2, dash=dash),
        # What one reads is what was logged.
        customdata=logged,
        hovertemplate='%{customdata}')


def finish(figure: go.Figure, runs: Sequence[Run], marked: Sequence[Run],
           axis: str) -> None:
    """Give a figure its axes, and mark events.

    Args:
        figure (go.Figure): It is changed.
        runs (Sequence[Run]): Of the report: all have the same axis.
        marked (Sequence[Run]): Whose events are marked.
        axis (str): What the upright one counts.
    """
    figure.update_layout(
        hovermode='x unified',
        margin=dict(l=8, r=24, t=8, b=8),
        paper_bgcolor='rgba(0,0,0,0)',
        plot_bgcolor='rgba(0,0,0,0)',
        showlegend=True,
        legend=dict(orientation='h', yref='container', y=0, yanchor='bottom'))
    figure.update_xaxes(
        title='update',
        # With its width too, plotly may seek a margin without end.
        automargin='height',
        range=[0, max(run.updates for run in runs)])
    figure.update_yaxes(title=axis, automargin=True, exponentformat='none')
    for event in (e for run in marked for e in run.journal.events):
        if event.update is not None and event.kind != 'warning':
            figure.add_vline(
                event.update,
                line=dict(color=RULE, width=1, dash='dot'),
                layer='below')


def padded(values: Sequence[float], logarithmic: bool) -> list[float]:
    """From the smallest to the largest, with a twentieth on both sides.

    Args:
        values (Sequence[float]): To be shown.
        logarithmic (bool): Whether the axis is: plotly then wants exponents.
    """
    ends = [min(values), max(values)]
    if logarithmic:
        ends = [math.log10(end) for end in ends]
    margin = (ends[1] - ends[0]) / 20 or 0.1
    return [ends[0] - margin, ends[1] + margin]


def _rounded(value: float) -> float:
    return float(f'{value:.{DIGITS}g}')
