"""A protocol's tables, in Markdown."""
from __future__ import annotations

import math
import statistics
from typing import Sequence

from .cells import Cell, updates_to
from .finals import Finals, mean_updates, of_method, plain, reached
from .protocol import Protocol
from .tables import by_batch, percent, table


def final_metrics(finals: Finals) -> str:
    """Each method's metric at each batch, on the test split."""
    return by_batch(plain(finals), _tested)


def updates_to_target(finals: Finals, target: float) -> str:
    """Updates and images to a target, and the share of perfect scaling.

    Args:
        finals (dict): Final runs by cell.
        target (float): Of the metric.
    """
    found = plain(finals)

    def shown(cell: Cell, of_cell: Sequence[dict]) -> str:
        updates = mean_updates(of_cell, target)
        if updates is None:
            return f'{len(reached(of_cell, target))} of {len(of_cell)}'
        images = updates * cell.batch
        text = f'{updates:.0f} ({images:,.0f} images'
        of_batches = of_method(found, cell.method)
        small = min(of_batches)
        least = mean_updates(of_batches[small], target)
        if cell.batch > small and least is not None:
            text += f', {100 * least * small / images:.0f}%'
        return f'{text})'

    return by_batch(found, shown)


def trials_table(protocol: Protocol, pipeline: str) -> str:
    """Every trial, the best one of its cell in bold.

    Args:
        protocol (Protocol): With its results.
        pipeline (str): Which to show.
    """
    upper = (protocol.targets(pipeline) or [math.inf])[0]
    cells = dict.fromkeys(
        cell for cell, split in protocol.progress()
        if split == 'val' and cell.pipeline == pipeline and not cell.tag)
    rows = []
    for cell in sorted(cells):
        best = protocol.best(*cell[:3])
        for run in protocol.trials(pipeline, cell.batch, [cell.method]):
            result = protocol.results.get(run.name)
            last, updates = 'not run yet', '-'
            if result is not None:
                last, updates = _last(result), _shown(
                    updates_to(result, upper))
            rows.append([
                cell.method,
                str(cell.batch), f'{run.lr:g}',
                str(run.updates),
                f'**{last}**' if result and result is best else last, updates
            ])
    return table([
        'method', 'batch', 'learning rate', 'updates', 'last metric',
        'updates to the upper target'
    ], rows)


def runs_table(finals: Finals, targets: Sequence[float]) -> str:
    """Every final run.

    Args:
        finals (dict): By cell.
        targets (Sequence[float]): The upper one first.
    """
    rows = []
    for cell, of_cell in finals.items():
        for result in of_cell:
            run = result['run']
            to_targets = (updates_to(result, target) for target in targets)
            rows.append([
                cell.method,
                str(cell.batch), cell.tag or '-',
                str(run['seed']), f'{run["lr"]:g}',
                str(run['updates']),
                percent(result['final']),
                percent(result['test']) +
                (' (diverged)' if result['diverged'] else ''),
                *map(_shown, to_targets)
            ])
    return table([
        'method', 'batch', 'control', 'seed', 'learning rate', 'updates',
        'validation', 'test', *(f'to {percent(target)}' for target in targets)
    ], rows)


def not_run(protocol: Protocol) -> str:
    """What is missing, a row a method; empty if nothing is.

    Args:
        protocol (Protocol): With its results.
    """
    progress = protocol.progress()
    batches = sorted({cell.batch for cell, _ in progress})
    rows: dict[tuple[str, ...], dict[int, list[str]]] = {}
    for split, kind in dict(val='trials', test='final').items():
        for (cell, of), (done, asked) in progress.items():
            if of == split and done < asked:
                row = rows.setdefault(
                    (cell.pipeline, cell.method, cell.tag or '-'), {})
                row.setdefault(cell.batch, []).append(f'{kind} {asked - done}')
    if not rows:
        return ''
    return table(
        ['pipeline', 'method', 'control', *(f'batch {b}' for b in batches)],
        [[*row, *(', '.join(of_row.get(b, [])) for b in batches)]
         for row, of_row in sorted(rows.items())])


def _last(result: dict) -> str:
    """What a trial ended with."""
    if result['diverged']:
        return 'diverged'
    text = percent(result['final'])
    done = result['metric'][-1][0]
    if done < result['run']['updates']:
        text += f', ended at {done}'
    return text


def _shown(updates: float) -> str:
    return f'{updates:.0f}' if math.isfinite(updates) else 'never'


def _tested(cell: Cell, of_cell: Sequence[dict]) -> str:
    tests = [result['test'] for result in of_cell]
    text = percent(statistics.fmean(tests))
    if len(tests) > 1:
        text += f' ± {percent(statistics.stdev(tests))}'
    diverged = sum(result['diverged'] for result in of_cell)
    if diverged:
        text += f' ({diverged} diverged)'
    run = of_cell[0]['run']
    return f'{text}, at {run["lr"]:g} and {run["updates"]} updates'
