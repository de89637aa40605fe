"""The pages of the study on Digits, from its stored results."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Iterable, Iterator, Sequence

from . import tables
from .cells import cells, mean, measured, plain_cells
from .claims import claims
from .figures import draw_batches, draw_rates, draw_updates
from .variance_figures import draw_variances

HEAD = """\
# A study on Digits

The discussion, and what each detector and segmentor came to; [the study in one
page](study.md) is the short of it, and every learning rate and every module
are in [tables](study-digits-tables.md).

{summary}
## How it was made

Written by `python tools/study.py report` from the {count} results in
[docs/study/results](study/results), one file a run, {hours:.1f} hours of
training in all, each run on one CPU core; `python tools/study.py run
docs/study/NAME.yaml` makes those that are missing (`quick.yaml` repeats six
of them, apart from these, in 22 minutes on one core), and
[base.yaml](study/base.yaml) holds what all of them share. Networks are small,
their backbones pre-trained on the training digits as others are on ImageNet.
Every batch sees as many images. Learning rates were chosen on a validation
split; what is compared is the test split, with other seeds. Metrics are box
mAP (Faster R-CNN), mask mAP (Mask R-CNN), PQ and mIoU, in percent, with the
standard deviation over seeds. A claim is decided by a paired t-test over the
seeds, at p < 0.05 after Holm's correction for the tests of the pipeline (those
of a claim on AGVM's own settings apart from the others): with three seeds only
a difference far above their scatter is.
"""
TABLES = """\
# A study on Digits: tables

Every learning rate and every module behind [the page](study-digits.md), in
percent where it is a metric.
"""
# The part of what a plain optimizer, the first of these that was run, reaches
# at the smallest batch.
TARGET = 0.5
REFERENCES = ('sgd', 'adamw')


def write_report(results: Sequence[dict], folder: Path) -> Iterator[Path]:
    """Write a page, one of tables beside it, and the figures.

    Args:
        results (Sequence[dict]): Of runs.
        folder (Path): For the pages; figures go to study/ in it, where
            summary.md, if there is one, tells what the page begins with.

    Yields:
        Path: Each file, once it is written.

    Raises:
        ValueError: If there is no result.
    """
    if not results:
        raise ValueError('there is no result to report; run a study first')
    (folder / 'study').mkdir(parents=True, exist_ok=True)
    summary = folder / 'study/summary.md'
    head = HEAD.format(
        summary=summary.read_text() if summary.is_file() else '',
        count=len(results),
        hours=hours(results))
    page, long_tables = [head], [TABLES]
    for pipeline in sorted({r['run']['pipeline'] for r in results}):
        of_it = [r for r in results if r['run']['pipeline'] == pipeline]
        title = f'\n## {pipeline}\n'
        page += [title, *_sections(of_it, pipeline, folder / 'study')]
        long_tables += [title, *_tables(of_it)]
    yield from write_page(folder / 'study-digits.md', page)
    yield from write_page(folder / 'study-digits-tables.md', long_tables)


def hours(results: Sequence[dict]) -> float:
    """How long runs took, one after another."""
    return sum(result['seconds'] for result in results) / 3600


def write_page(page: Path, sections: Iterable[str | Path]) -> Iterator[Path]:
    """Write a page.

    Args:
        page (Path): Its file.
        sections (Iterable[str or Path]): Markdown, and figures that lie in
            study/ beside the page.

    Yields:
        Path: Each figure as it comes, and the page once it is written.
    """
    text = []
    for section in sections:
        if isinstance(section, Path):
            yield section
            section = f'\n![{section.stem}](study/{section.name})\n'
        text.append(section)
    page.write_text('\n'.join(text) + '\n')
    yield page


def path_from(start: Path, path: Path) -> str:
    """A path as a page names it, or as a command does.

    Args:
        start (Path): The page, or a file in the folder of the command.
        path (Path): To name.
    """
    return Path(os.path.relpath(path, start.parent)).as_posix()


def _sections(results: Sequence[dict], pipeline: str,
              folder: Path) -> Iterator[str | Path]:
    """What there is to say of one pipeline: Markdown, and figures."""
    if said := list(claims(results, pipeline)):
        yield "### The paper's claims\n"
        yield tables.table(['claim', 'found', 'so?'],
                           [(c.text, c.found, c.verdict) for c in said])
    if tested := cells(results, 'test'):
        yield '\n### Every method at every batch\n'
        yield tables.finals(results)
        path = folder / f'{pipeline}_batch.png'
        if draw_batches(results, path):
            yield path
        if found := _target(results):
            method, target = found
            yield (f'\nUpdates to {100 * target:.0f}%, half of what {method} '
                   'reaches at the smallest batch:\n')
            yield tables.to_target(results, target)
            path = folder / f'{pipeline}_updates.png'
            if draw_updates(results, target, path):
                yield path
    path = folder / f'{pipeline}_variance.png'
    if draw_variances(results, path):
        yield (
            '\n### Variances of the steps\n\n'
            "As the paper's figure 1 shows them: with the square of the "
            'learning-rate factor.\n')
        yield path
    path = folder / f'{pipeline}_rates.png'
    if draw_rates(results, path):
        yield ('\n### With and without AGVM at the same learning rate\n\nOn '
               'the validation split, of one seed where there is no bar.\n')
        yield path
    if any(cell.tag for cell in tested):
        yield '\n### Controls\n'
        yield tables.controls(results)


def _tables(results: Sequence[dict]) -> Iterator[str]:
    """The long tables of one pipeline."""
    if cells(results, 'val'):
        yield ('### Learning rates\n\nOn the validation split, of one '
               'seed where there is no deviation.\n')
        yield tables.rates(results)
        if gains := tables.same_rate(results):
            yield (
                '\nBy how much AGVM is better or worse at the same learning '
                'rate; where it is of one seed, a point or two is noise:\n')
            yield gains
    if measured(results):
        yield ('\n### What was measured\n\nMedians of the first, second and '
               'last third of a training. Where the noise scale is far above '
               'the batch, variances are near 1 and factors too.\n')
        yield tables.modules(measured(results))


def _target(results: Sequence[dict]) -> tuple[str, float] | None:
    """A metric that every method should reach, and whose it is a part of."""
    tested = plain_cells(results, 'test')
    for method in REFERENCES:
        found = {
            cell.batch: mean(of_cell)
            for cell, of_cell in tested.items() if cell.method == method
        }
        if found:
            return method, TARGET * found[min(found)]
    return None
