"""A link to a file that is no page leads to a page that shows the file."""
from __future__ import annotations

import html
from pathlib import Path
from typing import Iterator

from docutils import nodes
from pygments.lexers import get_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx import addnodes
from sphinx.application import Sphinx


def unlink_folders(app: Sphinx, tree: nodes.document) -> None:
    """Leave the text of a link to a folder, which only a git host shows."""
    for link in list(tree.findall(addnodes.pending_xref)):
        if link['reftype'] == 'myst' and not link.get('refdomain'):
            _, path = app.env.relfn2path(link['reftarget'], link['refdoc'])
            if Path(path).is_dir():
                link.replace_self(link.children)


def link_pages(app: Sphinx, tree: nodes.document, name: str) -> None:
    """Lead the links of one page to the pages of the files."""
    for link in list(tree.findall(addnodes.download_reference)):
        path, _ = app.env.relfn2path(link['reftarget'], name)
        if text_of(app, path) is not None:
            link.replace_self(
                nodes.reference(
                    '',
                    '',
                    *link.children,
                    internal=True,
                    refuri=app.builder.get_relative_uri(name, path)))


def pages(app: Sphinx) -> Iterator[tuple[str, dict, str]]:
    """The pages of the files that are linked to."""
    for path in map(str, app.env.dlfiles):
        text = text_of(app, path)
        if text is not None:
            code = app.builder.highlighter.highlight_block(
                text, language(path))
            title = html.escape(path)
            yield path, dict(
                title=title,
                body=f'<h1 class="file">{title}</h1>\n{code}'), 'page.html'


def language(path: str) -> str:
    """What a file is written in, as Pygments names it."""
    try:
        return get_lexer_for_filename(path).aliases[0]
    except ClassNotFound:
        return 'text'


def text_of(app: Sphinx, path: str) -> str | None:
    """What a file says; None of a picture, or where there is no file."""
    try:
        return Path(app.srcdir, path).read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError):
        return None


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect('doctree-read', unlink_folders)
    app.connect('doctree-resolved', link_pages)
    app.connect('html-collect-pages', pages)
    return dict(parallel_read_safe=True)
