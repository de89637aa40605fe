"""What changes of AGVM came to, in tables apart from those of AGVM.

Who tries six more methods and tests them in one table with the others finds
less in all of them: p-values are corrected for the number of tests together.
So a study's ``variants`` names, by rival, the methods that are a table with
it, and no other table or figure shows them.
"""
from __future__ import annotations

from pathlib import Path
from typing import Iterable, Iterator, Sequence

from mmengine.config import Config

from . import tables, target_tables
from .cells import cells, compared_cells, measured
from .finals import Finals, of_method
from .processes import ROOT, read_results
from .protocol import Protocol
from .report import hours, path_from, write_page
from .target_claims import (
    COLUMNS,
    Comparison,
    comparisons,
    of_metric,
    tested,
)

HEAD = """\
# {title}

What is tried, and why, [was written down]({reasons}) before the first run.
P-values are of paired t-tests over seeds, two-sided, corrected by Holm for the
number of tests of one change against one rival; beside 'undecided' stands the
difference that so many seeds would have shown in 80 of 100 studies, before the
correction.

Written by `python tools/study.py report {study}` from the {count} results in
[{results}]({results_link}), one file a run, {hours:.1f} hours of training in
all, each run on one CPU core. `python tools/study.py run {study}` makes those
that are missing.
"""


def variants_of(study: Config) -> set[str]:
    """The methods of a study that are changes of AGVM."""
    named = study.get('variants', {}).values()
    return {method for methods in named for method in methods}


def without_variants(study: Config, finals: Finals) -> Finals:
    """Final runs as the tables of AGVM show them.

    Args:
        study (Config): With or without variants.
        finals (dict): Final runs by cell.
    """
    variants = variants_of(study)
    return {c: r for c, r in finals.items() if c.method not in variants}


def of_protocol(protocol: Protocol, pipeline: str,
                targets: Sequence[float]) -> Iterator[str]:
    """A section of a protocol's page; nothing while no variant is done.

    Args:
        protocol (Protocol): With its results.
        pipeline (str): Which to look at.
        targets (Sequence[float]): Of the metric, the upper one first.

    Yields:
        str: Markdown.
    """
    finals = protocol.finals(pipeline)
    variants = variants_of(protocol.study)
    batches = {c.batch for c in finals if c.method in variants}
    if not batches:
        return
    yield ('\n### Changes of AGVM\n\nP-values are corrected for the tests of '
           'one change against one rival.\n')
    yield from _claims(
        (rival, [
            comparisons(protocol, pipeline, [(method, rival)])
            for method in methods
        ]) for rival, methods in protocol.study.variants.items())
    shown = {
        c: r
        for c, r in finals.items() if c.batch in batches and (
            c.method in variants or c.method in protocol.study.variants)
    }
    yield 'On the test split:\n'
    yield target_tables.final_metrics(shown) + '\n'
    for target in targets:
        yield f'To {tables.percent(target)}:\n'
        yield target_tables.updates_to_target(shown, target) + '\n'


def write_variant_page(study: Config, path: Path, results: Path,
                       folder: Path) -> Iterator[Path]:
    """Write the page of a study of variants that has no protocol.

    Args:
        study (Config): With variants.
        path (Path): Of its file, whose name the page bears.
        results (Path): Folder of its result files.
        folder (Path): For the page.

    Yields:
        Path: The page, once it is written.

    Raises:
        ValueError: If there is no result.
    """
    stored = read_results(results)
    if not stored:
        raise ValueError(f'there is no result in {results}; run `python '
                         f'tools/study.py run {path}` first')
    page = folder / f'study-{path.stem}.md'
    folder.mkdir(parents=True, exist_ok=True)
    readme = ROOT / 'README.md'
    head = HEAD.format(
        title=study.page.title,
        reasons=path_from(page, ROOT / study.page.protocol),
        study=path_from(readme, path),
        count=len(stored),
        results=path_from(readme, results),
        results_link=path_from(page, results),
        hours=hours(stored))
    yield from write_page(page, [head, *_sections(study, stored)])


def _sections(study: Config, results: Sequence[dict]) -> Iterator[str]:
    for pipeline in sorted({r['run']['pipeline'] for r in results}):
        of_it = [r for r in results if r['run']['pipeline'] == pipeline]
        yield f'\n## {pipeline}\n'
        yield from _claims(
            (rival, [_of_cells(of_it, rival, method) for method in methods])
            for rival, methods in study.variants.items())
        if compared_cells(of_it):
            yield 'On the test split:\n'
            yield tables.finals(of_it) + '\n'
        if cells(of_it, 'val'):
            yield 'Learning rates, on the validation split:\n'
            yield tables.rates(of_it) + '\n'
        if found := measured(of_it):
            yield ('What was measured, in medians of the first, second and '
                   'last third of a training:\n')
            yield tables.modules(found)


def _of_cells(results: Sequence[dict], rival: str,
              variant: str) -> Iterator[Comparison]:
    """A variant and a rival at each batch, on the test split."""
    finals = compared_cells(results)
    theirs = of_method(finals, rival)
    for batch, of_cell in of_method(finals, variant).items():
        both = [{r['run']['seed']: r['final']
                 for r in of} for of in (of_cell, theirs.get(batch, []))]
        if {*both[0]} & {*both[1]}:
            yield of_metric(batch, variant, rival, *both)


def _claims(
    by_rival: Iterable[tuple[str, Sequence[Iterable[Comparison]]]]
) -> Iterator[str]:
    """A table for each rival; p-values are corrected for each variant."""
    for rival, of_variants in by_rival:
        rows = [row for compared in of_variants for row in tested(compared)]
        if rows:
            yield f'Against {rival}:\n'
            yield tables.table(COLUMNS, rows) + '\n'
