"""The charts of a report, as plotly figures."""
from __future__ import annotations

from typing import Callable, Mapping, NamedTuple, Sequence, Tuple

import plotly.graph_objects as go

from .drawing import RULE, add_trace, finish, padded
from .run import Run
from .series import points_of, values_of

# Mid tones, which are read on white and on black.
COLOURS = ('#2f7ed8', '#d9662b', '#2a9d63', '#c94f8a', '#8a6bd1', '#a67c1f',
           '#d1495b', '#1f9aa8', '#7a8b2d')
# One for each run, the first whole; after the last they begin anew.
DASHES = ('solid', 'dash', 'dot', 'dashdot')
# What is smooth by itself, or falls by steps.
UNSMOOTHED = ('lr_scale', 'lr')

# What is shown by module: a title, its axis, whether that is logarithmic, and
# how to read it.
BY_MODULE = (
    ('variance', 'Gradient variance', '1 - cos of two half batches', True,
     'Near 0 the replicas agree; at 1 they have nothing in common.'),
    ('step_variance', 'Variance of the steps', 'variance x factor²', True,
     'What AGVM aligns with the anchor: with it the lines come together.'),
    ('lr_scale', 'Learning-rate factor', 'factor', False,
     "What a module's rate is multiplied by; the anchor's is 1."),
    ('lr', 'Learning rate', 'rate', True,
     "The schedule's rate times the factor; without an lr_mult of your own."),
    ('noise_scale', 'Noise scale', 'samples', True,
     'The batch beyond which a module gains little, and the batch that ran. '
     'An order of magnitude: whether it foretells the best batch is doubted '
     '(docs/report.md).'),
)


class Chart(NamedTuple):
    """A figure and what stands above it.

    Attributes:
        title (str): Of the figure: its run, where there are several.
        figure (go.Figure): Without a theme.
    """

    title: str
    figure: go.Figure


class Section(NamedTuple):
    """Charts that belong together.

    Attributes:
        title (str): Above them.
        note (str): How to read them.
        charts (list[Chart]): One of all runs, or one of each on the same axes.
    """

    title: str
    note: str
    charts: list[Chart]


# Names of traces, and their points.
Series = Mapping[str, Sequence[Tuple[int, float]]]


def sections(runs: Sequence[Run]) -> list[Section]:
    """All charts of some runs. What no run logged is left out.

    Args:
        runs (Sequence[Run]): Side by side.
    """
    modules = dict.fromkeys(m for run in runs for m in run.modules)
    colours = {
        module: COLOURS[index % len(COLOURS)]
        for index, module in enumerate(modules)
    }
    found = [
        _together(runs, 'Loss', 'Dotted upright lines are events.', 'loss',
                  lambda run: {'loss': values_of(run.rows, 'loss')}),
        _together(
            runs,
            'Metric',
            'On the validation data.',
            'metric',
            lambda run:
            {name: values_of(run.metrics, name)
             for name in run.headlines},
            smooth=False,
            marked=True),
        *(_by_module(runs, colours, *shown) for shown in BY_MODULE),
        _together(
            runs,
            'Measurements skipped',
            'That were due and could not be taken, so far.',
            'measurements',
            lambda run: {
                key: values_of(run.rows, key)
                for key in run.rows[-1] if key.startswith('agvm/skipped')
            },
            smooth=False),
        _together(runs, 'Images a second',
                  'Over all processes, without validation.', 'images a second',
                  lambda run: {'images a second': run.images_a_second()}),
        _together(
            runs, 'Time of an update', 'In all, and the wait for data in it.',
            'seconds', lambda run: {
                'in all': run.seconds(),
                'wait for data': run.seconds('data_time')
            }),
    ]
    return [section for section in found if section is not None]


def _together(runs: Sequence[Run],
              title: str,
              note: str,
              axis: str,
              series: Callable[[Run], Series],
              *,
              smooth: bool = True,
              marked: bool = False) -> Section | None:
    """One chart of all runs: a dash for each, and a colour for each trace."""
    figure = go.Figure()
    for index, run in enumerate(runs):
        shown = {name: p for name, p in series(run).items() if p}
        for place, (name, points) in enumerate(shown.items()):
            parts = [run.title] if len(runs) > 1 else []
            parts += [name] if len(shown) > 1 or not parts else []
            add_trace(
                figure,
                ', '.join(parts),
                points,
                COLOURS[(index + place * len(runs)) % len(COLOURS)],
                DASHES[index % len(DASHES)],
                smooth=smooth,
                marked=marked)
    if not figure.data:
        return None
    finish(figure, runs, runs, axis)
    values = [value for trace in figure.data for value in trace.y]
    low, high = padded([0, max(values) or 1, *values], False)
    figure.update_yaxes(range=[low if min(values) < 0 else 0, high])
    return Section(title, note, [Chart(title, figure)])


def _by_module(runs: Sequence[Run], colours: Mapping[str, str], quantity: str,
               title: str, axis: str, logarithmic: bool,
               note: str) -> Section | None:
    """One chart of each run, on the same axes; a colour for each module."""
    figures, values = [], []
    for index, run in enumerate(runs):
        figure = go.Figure()
        dash = DASHES[index % len(DASHES)]
        for module in run.modules:
            add_trace(
                figure,
                module,
                points_of(run.rows, quantity, module),
                colours[module],
                dash,
                smooth=quantity not in UNSMOOTHED,
                logarithmic=logarithmic)
        if not figure.data:
            continue
        if quantity == 'lr':
            add_trace(
                figure,
                'schedule',
                values_of(run.rows, 'lr'),
                RULE,
                dash,
                logarithmic=logarithmic,
                smooth=False)
        if quantity == 'noise_scale' and run.total_batch:
            ends = [(run.rows[0]['update'], run.total_batch),
                    (run.updates, run.total_batch)]
            add_trace(
                figure, 'batch that ran', ends, RULE, 'solid', smooth=False)
        values += [value for trace in figure.data for value in trace.y]
        name = run.title if len(runs) > 1 else title
        figures.append((name, run, figure))
    for _, run, figure in figures:
        finish(figure, runs, [run], axis)
        figure.update_yaxes(range=padded(values, logarithmic))
        if logarithmic:
            decades = padded(values, True)[1] - padded(values, True)[0]
            figure.update_yaxes(
                type='log',
                tickformat=',~g',
                dtick='D1' if decades < 1 else 'D2' if decades < 3 else 1)
    charts = [Chart(name, figure) for name, _, figure in figures]
    return Section(title, note, charts) if charts else None
