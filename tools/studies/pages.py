"""Which pages there are, and of which results each is drawn."""
from __future__ import annotations

from pathlib import Path
from typing import Iterator

from .branch_page import write_branch_page
from .grid import read_study
from .overview import write_overview
from .processes import ROOT, read_results
from .protocol_pages import write_protocol_pages
from .report import write_report
from .variant_pages import write_variant_page

DIGITS = ROOT / 'docs/study/results'
# Studies with a protocol or variants, which have pages of their own in docs.
STUDIES = ('docs/study/bccd.yaml', 'docs/study/variants.yaml')
BRANCHES = ROOT / 'docs/study/results-branches'


def write_pages(study: str | None, results: Path | None,
                folder: Path) -> Iterator[Path]:
    """Draw pages from stored results.

    Args:
        study (str, optional): File of a study with a protocol or variants;
            None for the pages on Digits, unless ``results`` names a folder
            every other page that has results, and the page that sums them up.
        results (Path, optional): Folder of result files; None for the
            study's own.
        folder (Path): For the pages; figures go to study/ in it.

    Yields:
        Path: Each file, once it is written.

    Raises:
        FileNotFoundError: If there is no such study.
        ValueError: If it has neither, or there is no result.
    """
    if study is not None:
        yield from _of_study(Path(study), results, folder)
        return
    digits = read_results(results or DIGITS)
    yield from write_report(digits, folder)
    if results is None:
        for name in STUDIES:
            path = ROOT / name
            if read_results(ROOT / read_study(path).results):
                yield from _of_study(path, None, folder)
        yield from write_branch_page(BRANCHES, folder)
    yield from write_overview(digits, folder)


def _of_study(path: Path, results: Path | None,
              folder: Path) -> Iterator[Path]:
    study = read_study(path)
    own = results or ROOT / study.results
    if 'protocol' in study:
        yield from write_protocol_pages(study, path, own, folder)
    elif 'variants' in study:
        yield from write_variant_page(study, path, own, folder)
    else:
        raise ValueError(
            f'{path} has no protocol and no variants, and so no pages of its '
            'own: name one that has, as docs/study/bccd.yaml, or leave it out '
            'and name the folder of its results with --results')
