"""What ran, in a table: the plan of a run and what came of it."""
from __future__ import annotations

from datetime import timedelta
from typing import Any, Sequence

from agvm_mm.large_batch.micro_batches import described

from .comparisons import differences
from .run import Run
from .series import values_of

# Settings in which two runs differ, that are shown.
MOST_DIFFERENCES = 12
# AGVM's options that the table states.
OPTIONS = ('anchor', 'estimator', 'momentum', 'ratio_range', 'end')
NONE = ''


def facts(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """The rows of the table: a name, and each run's value.

    Args:
        runs (Sequence[Run]): They are its columns.

    Returns:
        list[tuple[str, list[str]]]: A row of which no run has a value is left
        out.
    """
    of_runs = [_of_run(run) for run in runs]
    # In the order of the run that has the most to tell.
    names = dict.fromkeys(
        name for values in sorted(of_runs, key=len, reverse=True)
        for name in values)
    rows = [(name, [values.get(name, NONE) for values in of_runs])
            for name in names]
    return [(name, values) for name, values in rows if any(values)]


def differing(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """The settings in which the first two runs differ, as rows.

    Args:
        runs (Sequence[Run]): One run differs from none.
    """
    if len(runs) < 2:
        return []
    found = differences(*(run.config.to_dict() for run in runs[:2]))
    rows = [(name, [_short(value) for value in values])
            for name, values in found.items()]
    more = len(rows) - MOST_DIFFERENCES
    if more > 0:
        rows = [*rows[:MOST_DIFFERENCES], (f'and {more} more', [NONE, NONE])]
    return rows


def _of_run(run: Run) -> dict[str, str]:
    values = dict(_batch(run), **_schedule(run), **_agvm(run))
    for metric in run.headlines:
        found = [value for _, value in values_of(run.metrics, metric)]
        values[metric] = f'{found[-1]:.4g} at the end'
        if max(found) > found[-1]:
            values[metric] += f', {max(found):.4g} at best'
    speed = run.speed()
    if speed is not None:
        values['images a second'] = f'{speed:.3g} (median)'
    if run.journal.seconds:
        values['time'] = (f'{timedelta(seconds=int(run.journal.seconds))}, '
                          f'from {run.journal.started} on')
    machine = run.journal.machine
    values['machine'] = ', '.join(
        f'{name} {value}' if name != 'GPU 0' else value
        for name, value in machine.items()
        if name.startswith('GPU 0') or name in ('PyTorch', 'MMEngine'))
    values['seed'] = machine.get('seed', NONE)
    return values


def _batch(run: Run) -> dict[str, str]:
    batch = run.total_batch
    if batch is None:
        return {}
    dealt = described(
        batch, run.processes, run.samples_per_gpu, samples='images')
    return {'total batch': f'{batch:,} = {dealt}'}


def _schedule(run: Run) -> dict[str, str]:
    updates = f'{run.updates:,}'
    if run.planned is not None:
        updates += f' of {run.planned:,}'
    if run.epoch:
        updates += f', {run.epoch:,.4g} an epoch'
    values = {'updates': updates}
    if run.total_batch is not None:
        values['images seen'] = f'{run.updates * run.total_batch:,}'
    values['optimizer'] = run.optimizer
    rates = values_of(run.rows, 'lr')
    if rates:
        update, peak = max(rates, key=lambda point: (point[1], -point[0]))
        values['learning rate'] = (
            f'{peak:.4g} at its highest, logged first at update {update:,}; '
            f'{rates[-1][1]:.4g} at the end')
    return values


def _agvm(run: Run) -> dict[str, str]:
    if not run.options:
        return {'AGVM': 'none'}
    options = run.options[0]
    begins = (f'from update {run.begin:,}'
              if run.begin is not None else 'not begun')
    values = {'AGVM': f'{begins}, measures one in {options["interval"]}'}
    values['its options'] = ', '.join(f'{name}={options[name]!r}'
                                      for name in OPTIONS)
    replicas = run.rows[-1].get('agvm/num_replicas')
    if replicas:
        values['replicas'] = f'{replicas:.0f}'
    values['measured'] = f'{run.due - run.skipped:,} of {run.due:,} due'
    return values


def _short(value: Any) -> str:
    text = NONE if value is None else str(value)
    return text if len(text) <= 80 else f'{text[:77]}...'
