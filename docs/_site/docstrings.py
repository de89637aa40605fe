"""Names and formulas in docstrings: what exists is right; no network."""
from __future__ import annotations

import pkgutil
import sys
from typing import Iterator

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.writers.html5 import HTML5Translator


def accept_existing(app: Sphinx, env: BuildEnvironment,
                    node: addnodes.pending_xref,
                    text: nodes.Element) -> nodes.Element | None:
    """Let a name without an entry on the site be plain text, if it exists."""
    if node['refdomain'] == 'py' and any(map(is_name, may_mean(node))):
        return text
    return None


def may_mean(node: addnodes.pending_xref) -> Iterator[str]:
    """The full names that a name in a docstring may stand for.

    Of a class that its package exports, Sphinx does not tell the module that
    the docstring is written in: a name may be one of any module of agvm_mm.
    """
    name = node['reftarget']
    yield name
    yield f'builtins.{name}'
    for module in [m for m in sys.modules if m.split('.')[0] == 'agvm_mm']:
        yield f'{module}.{name}'
    yield f'{node.get("py:module")}.{node.get("py:class")}.{name}'


def is_name(name: str) -> bool:
    """Whether something can be imported by a name."""
    try:
        pkgutil.resolve_name(name)
    except (AttributeError, ImportError, ValueError):
        return False
    return True


def write_formula(writer: HTML5Translator, node: nodes.Element) -> None:
    """Write MathML, which browsers show by themselves."""
    block = isinstance(node, nodes.math_block)
    writer.body.append(tex2mathml(node.astext(), as_block=block))
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect('missing-reference', accept_existing)
    app.add_html_math_renderer('mathml', (write_formula, None),
                               (write_formula, None))
    return dict(parallel_read_safe=True)
