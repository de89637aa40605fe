"""The study's page and figures, from its stored results."""
from __future__ import annotations

import statistics
from pathlib import Path
from typing import Callable, Iterator, Sequence

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt

HEAD = """\
# A study on Digits

Written by `python tools/study.py report` from the {count} results in
[docs/study/results](study/results), one file a run; `python tools/study.py run
docs/study/NAME.yaml` makes those that are missing.

**It is not finished.** What is missing is not in the tables; nothing is
concluded yet.
"""


def write_report(results: Sequence[dict], folder: Path) -> Iterator[Path]:
    """Write the page and its figures.

    Args:
        results (Sequence[dict]): Of runs.
        folder (Path): For study.md; figures go to study/ in it.

    Yields:
        Path: Each file, once it is written.

    Raises:
        ValueError: If there is no result.
    """
    if not results:
        raise ValueError('there is no result to report; run a study first')
    text = [HEAD.format(count=len(results))]
    for pipeline in _values(results, 'pipeline'):
        of_it = [r for r in results if r['run']['pipeline'] == pipeline]
        text.append(f'\n## {pipeline}\n')
        text += _rates(of_it)
        text += _finals(of_it)
        for name, draw in (('batch', _plot_batches), ('variance',
                                                      _plot_variances)):
            path = folder / f'study/{pipeline}_{name}.png'
            if draw(of_it, path):
                yield path
                text.append(f'\n![{pipeline}: {name}](study/{path.name})')
    page = folder / 'study.md'
    page.write_text('\n'.join(text) + '\n')
    yield page


def _values(results: Sequence[dict], key: str) -> list:
    return list(dict.fromkeys(r['run'][key] for r in results))


def _cells(results: Sequence[dict], split: str) -> dict[tuple, list[dict]]:
    """Results by method and batch, of runs without anything special."""
    cells: dict[tuple, list[dict]] = {}
    for result in results:
        run = result['run']
        if run['split'] == split and not run['tag']:
            cells.setdefault((run['method'], run['batch']), []).append(result)
    return dict(sorted(cells.items()))


def _rates(results: Sequence[dict]) -> list[str]:
    """The metric of every learning rate, on the validation split."""
    cells = _cells(results, 'val')
    if not cells:
        return []
    rates = sorted({r['run']['lr'] for cell in cells.values() for r in cell})
    lines = [
        'Validation split, last epoch, by learning rate; `nan` where the '
        'training diverged:\n',
        f'| method | batch | {" | ".join(f"{rate:g}" for rate in rates)} |',
        '|---' * (2 + len(rates)) + '|',
    ]
    for (method, batch), cell in cells.items():
        found = {r['run']['lr']: r for r in cell}
        row = [_shown(found[rate]) if rate in found else ''
               for rate in rates]  # yapf: disable
        lines.append(f'| {method} | {batch} | {" | ".join(row)} |')
    return lines


def _finals(results: Sequence[dict]) -> list[str]:
    """Mean and deviation over seeds, on the test split."""
    cells = _cells(results, 'test')
    if not cells:
        return []
    lines = [
        '\nTest split, with the best learning rate of the validation split:\n',
        '| method | batch | learning rate | seeds | mean | deviation |',
        '|---|---|---|---|---|---|',
    ]
    for (method, batch), cell in cells.items():
        finals = [r['final'] for r in cell]
        spread = statistics.stdev(finals) if len(finals) > 1 else float('nan')
        lines.append(f'| {method} | {batch} | {cell[0]["run"]["lr"]:g} | '
                     f'{len(cell)} | {statistics.mean(finals):.3f} | '
                     f'{spread:.3f} |')
    return lines


def _shown(result: dict) -> str:
    return 'nan' if result['diverged'] else f'{result["final"]:.3f}'


def _best(cell: Sequence[dict]) -> dict:
    return max(cell, key=lambda result: result['final'])


def _plot_batches(results: Sequence[dict], path: Path) -> bool:
    """The metric against the batch, as the paper's Figure 1, lower row."""
    cells = _cells(results, 'test')
    centre: Callable = statistics.mean
    if not cells:
        cells, centre = _cells(results, 'val'), max
    if len({batch for _, batch in cells}) < 2:
        return False
    figure, axis = plt.subplots(figsize=(6, 4), layout='constrained')
    for method in dict.fromkeys(method for method, _ in cells):
        points = [(batch, [r['final'] for r in cell])
                  for (name, batch), cell in cells.items() if name == method]
        batches = [batch for batch, _ in points]
        middle = [centre(finals) for _, finals in points]
        spread = [
            statistics.stdev(finals)
            if centre is statistics.mean and len(finals) > 1 else 0
            for _, finals in points
        ]
        axis.errorbar(
            batches, middle, spread, marker='o', capsize=3, label=method)
    axis.set_xscale('log', base=2)
    axis.set_xticks(sorted({batch for _, batch in cells}))
    axis.xaxis.set_major_formatter('{x:.0f}')
    axis.set(
        xlabel='batch',
        ylabel='metric, test split'
        if centre is statistics.mean else 'metric, validation split, best')
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return True


def _plot_variances(results: Sequence[dict], path: Path) -> bool:
    """Variances against progress, as the paper's Figure 1, upper row."""
    cells = {
        key: _best(cell)
        for key, cell in _cells(results, 'val').items()
        if _best(cell)['agvm'].get('variance')
    }
    if not cells:
        return False
    figure, axes = plt.subplots(
        1,
        len(cells),
        sharey=True,
        squeeze=False,
        figsize=(3.2 * len(cells), 3.2),
        layout='constrained')
    for axis, ((method, batch), result) in zip(axes[0], cells.items()):
        for module, points in result['agvm']['variance'].items():
            steps, values = zip(*points)
            axis.plot(steps, values, linewidth=1, label=module)
        axis.set(
            title=f'{method}, batch {batch}', xlabel='iteration', yscale='log')
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel('gradient variance')
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside lower center', ncols=4)
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return True
