"""The site's navigation is the index's own lists, in their order."""
from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

# Its own pages lie beside it; which there are, the stored results tell.
STUDY = 'docs/study'


def add_navigation(app: Sphinx, name: str, source: list[str]) -> None:
    """Make a hidden table of contents of each list of the index.

    A page in a list that does not exist, and one that is in no list, is a
    warning of Sphinx's. The study's pages, study-*.md, follow the study.
    """
    if name == STUDY:
        source[0] += '\n```{toctree}\n:hidden:\n:glob:\n\nstudy-*\n```\n'
    if name != app.config.root_doc:
        return
    for part in re.split(r'^## ', source[0], flags=re.M)[1:]:
        caption, _, body = part.partition('\n')
        pages = re.findall(r'^- \[(.+?)\]\((\S+)\.md\)', body, flags=re.M)
        lines = '\n'.join(f'{title} <{page}>' for title, page in pages)
        source[0] += (f'\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n'
                      f'{lines}\n```\n')


def add_first_page(app: Sphinx, error: Exception | None) -> None:
    """Lead from the site's top folder to the index."""
    url = app.builder.get_target_uri(app.config.root_doc)
    Path(app.outdir, 'index.html').write_text(
        f'<!doctype html>\n<title>{app.config.project}</title>\n'
        f'<meta http-equiv="refresh" content="0; url={url}">\n'
        f'<a href="{url}">{app.config.project}</a>\n')


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect('source-read', add_navigation)
    app.connect('build-finished', add_first_page)
    return dict(parallel_read_safe=True)
