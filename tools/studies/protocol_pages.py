"""The pages of a study with a protocol, from its stored results."""
from __future__ import annotations

import math
from pathlib import Path
from typing import Iterator

from mmengine.config import Config

from . import target_tables, variant_pages
from .finals import measured_finals
from .processes import ROOT, read_results
from .protocol import Protocol
from .report import hours, path_from, write_page
from .tables import modules, percent, table
from .target_claims import COLUMNS, target_claims
from .target_figures import draw_curves, draw_to_targets
from .variance_figures import draw_panels

HEAD = """\
# {title}

{summary}
## How it was made

By [a protocol]({protocol}) that was written before the first run. At every
batch each method has the same {trials} trials: pairs of a learning rate and a
number of updates, the same points of the unit square for all. The target is
{upper} of the best {metric} that a trial at batch {small} ends with on the
validation split, a second one {lower} of it; at the other batches a trial ends
when it has reached the upper one. The trial that reached it in the fewest
updates gives a method its learning rate and its updates at a batch; with these
the final runs train, with seeds that are the same for all methods.

Written by `python tools/study.py report {study}` from the {count} results in
[{results}]({results_link}), one file a run, {hours:.1f} hours by the
clock in all, each run on one CPU core. `python tools/study.py run {study}`
makes those that are missing. All runs one by one: [tables]({tables}).
"""
TABLES = """\
# {title}: tables

Every run behind [the page]({page}), in percent.
"""
CLAIMS = """\
### The claims

P-values are of paired t-tests over seeds, two-sided, corrected by Holm for the
number of tests in this table; 'yes' and 'no' stand where one is below 0.05.
Beside 'undecided' stands the difference that so many seeds would have shown in
80 of 100 studies, before that correction. Updates are compared by their ratio,
to the upper target, or to the lower one where a run did not reach the upper.
"""
TO_TARGETS = """\
### Updates and images to a target

The geometric mean over seeds; in brackets, the images, and the share of
perfect scaling from the method's smallest batch: 100% means that a batch twice
as large needs half of the updates. '3 of 5' means that only so many of the
runs reached the target.
"""


def write_protocol_pages(study: Config, path: Path, results: Path,
                         folder: Path) -> Iterator[Path]:
    """Write a page, one of tables beside it, and the figures.

    What is missing is said; the others are shown.

    Args:
        study (Config): With a protocol.
        path (Path): Of its file, whose name the pages bear.
        results (Path): Folder of its result files.
        folder (Path): For the pages; figures go to study/ in it, where
            NAME-summary.md, if there is one, tells what the page begins with.

    Yields:
        Path: Each file, once it is written.

    Raises:
        ValueError: If there is no result.
    """
    stored = read_results(results)
    if not stored:
        raise ValueError(f'there is no result in {results}; run `python '
                         f'tools/study.py run {path}` first')
    (folder / 'study').mkdir(parents=True, exist_ok=True)
    protocol = Protocol(study, stored)
    page = folder / f'study-{path.stem}.md'
    tables = folder / f'study-{path.stem}-tables.md'
    yield from write_page(page, [
        _head(protocol, stored, path, results, page, tables),
        *_sections(protocol, folder / 'study', path.stem)
    ])
    yield from write_page(tables, [
        TABLES.format(title=study.page.title, page=page.name),
        *_tables(protocol)
    ])


def _head(protocol: Protocol, stored: list[dict], path: Path, results: Path,
          page: Path, tables: Path) -> str:
    study, settings = protocol.study, protocol.settings
    summary = page.parent / f'study/{path.stem}-summary.md'
    metrics = {
        study.pipelines[name].metric.rpartition('/')[2].replace('_', ' ')
        for name in protocol.pipelines
    }
    return HEAD.format(
        title=study.page.title,
        summary=summary.read_text() if summary.is_file() else '',
        protocol=path_from(page, ROOT / study.page.protocol),
        trials=settings.trials,
        upper=f'{100 * settings.targets[0]:.0f}%',
        lower=' and '.join(f'{100 * share:.0f}%'
                           for share in settings.targets[1:]),
        metric=' or '.join(sorted(metrics)),
        small=settings.small_batch,
        study=path_from(ROOT / 'README.md', path),
        count=len(stored),
        results=path_from(ROOT / 'README.md', results),
        results_link=path_from(page, results),
        hours=hours(stored),
        tables=tables.name)


def _sections(protocol: Protocol, folder: Path,
              name: str) -> Iterator[str | Path]:
    """What there is to say: Markdown, and figures."""
    if left := target_tables.not_run(protocol):
        yield '\n## What is missing\n'
        yield left
        yield ('\nWith these there will be more claims, and a correction for '
               'more tests: p-values\nbelow are not the last ones.')
    for pipeline in protocol.pipelines:
        yield f'\n## {pipeline}\n'
        targets = protocol.targets(pipeline)
        finals = protocol.finals(pipeline)
        small = protocol.settings.small_batch
        if targets is None:
            yield (f'Its trials at batch {small} are not all done: there is '
                   'no target yet.')
            continue
        if math.isinf(targets[0]):
            yield (f'No trial at batch {small} learned anything: there is no '
                   'target.')
            continue
        yield (f'The targets are {" and ".join(map(percent, targets))}.\n')
        if not finals:
            yield 'No final run is done yet.'
            continue
        if claims := list(target_claims(protocol, pipeline)):
            yield CLAIMS
            yield table(COLUMNS, claims)
        finals = variant_pages.without_variants(protocol.study, finals)
        yield '\n### Every method at every batch\n\nOn the test split.\n'
        yield target_tables.final_metrics(finals)
        yield '\n' + TO_TARGETS
        for target in targets:
            yield f'To {percent(target)}:\n'
            yield target_tables.updates_to_target(finals, target) + '\n'
        start = f'{name}-{pipeline}'
        for images, ending in ((False, 'updates'), (True, 'images')):
            figure = folder / f'{start}_{ending}.png'
            if draw_to_targets(finals, targets, figure, images=images):
                yield figure
        figure = folder / f'{start}_curves.png'
        if draw_curves(finals, targets, figure):
            yield ('\n### The metric against the images\n\nThick lines are '
                   'means over seeds.\n')
            yield figure
        yield from _variances(protocol, pipeline, folder / start)
        yield from variant_pages.of_protocol(protocol, pipeline, targets)


def _variances(protocol: Protocol, pipeline: str,
               start: Path) -> Iterator[str | Path]:
    """The figures of what was measured without and with AGVM."""
    finals = protocol.finals(pipeline)
    for ours, rival in protocol.settings.compare:
        if found := measured_finals(finals, pipeline, rival, ours):
            figure = start.with_name(f'{start.name}_variance-{rival}.png')
            methods = list(dict.fromkeys(cell.method for cell in found))
            draw_panels(found, methods, figure)
            yield (f'\n### Variances of the steps with {rival}\n\nWith the '
                   'square of the learning-rate factor, at one seed.\n')
            yield figure


def _tables(protocol: Protocol) -> Iterator[str]:
    for pipeline in protocol.pipelines:
        yield f'\n## {pipeline}\n\n### Trials\n'
        yield target_tables.trials_table(protocol, pipeline)
        targets = protocol.targets(pipeline)
        finals = protocol.finals(pipeline)
        if not finals or targets is None or math.isinf(targets[0]):
            continue
        yield '\n### Final runs\n'
        yield target_tables.runs_table(finals, targets)
        found = {
            cell: of_cell[0]
            for cell, of_cell in finals.items()
            if of_cell[0]['agvm'].get('variance')
        }
        if found:
            yield ('\n### What was measured\n\nMedians of the first, second '
                   "and last third of a training, the first seed's.\n")
            yield modules(found)
