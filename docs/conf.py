"""Sphinx's settings: the site that tools/build_docs.sh makes of docs/."""
from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]  # _site, and this agvm_mm

project = html_title = 'agvm_mm'
extensions = [
    'myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon',
    '_site.docstrings', '_site.files', '_site.navigation'
]
# The sources are at the top of the checkout: a link from a page to README.md
# or to a config is then the same as on a git host.
include_patterns = ['README.md', '.github/*.md', 'docs/**.md']
exclude_patterns = [
    '.ci',
    '.git',
    '.venv*',
    'agvm_mm',
    'build',
    'configs',
    'data',
    'dist',
    'tests',
    'tools',
    'work_dirs',
    '.github/PULL_REQUEST_TEMPLATE.md',
    'docs/study/*summary.md',  # the pages begin with them
]
root_doc = 'docs/index'
nitpicky = True  # a name that does not exist is a warning, as a broken link
nitpick_ignore = [('py:class', 'optional')]
myst_heading_anchors = 4  # links to #headings, as on a git host
autodoc_typehints = 'none'  # the docstrings state the types
autodoc_member_order = 'bysource'
napoleon_numpy_docstring = False

html_theme = 'furo'  # its styles and scripts are its own: no network
html_static_path = ['_site/static']
html_css_files = ['site.css']
html_math_renderer = 'mathml'
html_copy_source = False
html_show_copyright = html_show_sphinx = False
