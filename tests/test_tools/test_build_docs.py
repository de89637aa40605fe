import html
import os
import re
import sys

import pytest

import agvm_mm
from agvm_mm import large_batch
from tests.commands import ROOT, call, copy_checkout

pytest.importorskip(
    'sphinx', reason="this stack's environment is without Sphinx")

# What a page of the site loads by itself; what a reader may click is not.
LOADED = re.compile(r'<(?:script|img|link|iframe|source)\b[^>]*?'
                    r'(?:src|href)="([^"]+)"')


@pytest.fixture(scope='module', name='checkout')
def _checkout(tmp_path_factory):
    """A copy, whose environment is that of this test."""
    copy = copy_checkout(tmp_path_factory.mktemp('docs') / 'checkout')
    (copy / 'tools/setup.sh').write_text('exit 0\n')
    (copy / '.venv').symlink_to(sys.prefix)
    return copy


@pytest.fixture(scope='module', name='site')
def _site(checkout):
    output = build(checkout)
    assert output == f'[docs] {checkout}/build/docs/index.html\n'
    return checkout / 'build/docs'


def build(checkout, status=0):
    return call(
        'bash',
        checkout / 'tools/build_docs.sh',
        cwd=checkout,
        status=status,
        timeout=600,
        PYTHONPATH='')


def test_the_first_page_has_them_all(site):
    first = (site / 'index.html').read_text()
    assert 'url=docs/index.html"' in first
    index = (site / 'docs/index.html').read_text()
    for page in (ROOT / 'docs').glob('*.md'):
        if page.stem != 'index':
            # In the navigation, and on the page; those behind the study's are
            # all on that.
            listed = 1 if page.stem.startswith('study-') else 2
            assert index.count(f'href="{page.stem}.html"') >= listed
        assert (site / f'docs/{page.stem}.html').is_file()


def test_a_page_leads_to_a_file_outside_of_docs(site):
    page = 'configs/mask_rcnn/mask-rcnn_r50_fpn_sgd_14e_bs512_coco.py'
    assert f'href="../{page}.html"' in (site / 'docs/configs.html').read_text()
    shown = re.sub('<[^>]+>', '', (site / f'{page}.html').read_text())
    assert (ROOT / page).read_text() in html.unescape(shown)
    assert 'href="../README.html"' in (site /
                                       'docs/architecture.html').read_text()


def test_the_api_has_what_the_package_exports(site):
    page = (site / 'docs/api.html').read_text()
    names = [f'agvm_mm.{name}' for name in agvm_mm.__all__]
    names += [
        f'agvm_mm.large_batch.{name}' for name in large_batch.__all__
        if name not in agvm_mm.__all__
    ]
    assert [name for name in names if f'id="{name}"' not in page] == []
    # A formula is shown without a script.
    assert '<math xmlns=' in page


def test_a_reader_needs_no_network(site):
    pages = list(site.rglob('*.html'))
    loaded = {
        address
        for page in pages
        for address in LOADED.findall(page.read_text())
    }
    assert any(address.endswith('.css') for address in map(without, loaded))
    assert any(address.endswith('.js') for address in map(without, loaded))
    assert [a for a in loaded if re.match('(https?:)?//', a)] == []
    for style in site.rglob('*.css'):
        assert not re.search(r'(url\(|@import)\W*(https?:)?//',
                             style.read_text())


def without(address):
    """An address, without the version of what it names."""
    return address.partition('?')[0]


# A page with it, and what Sphinx says of it.
BROKEN = {
    'page': ('[a](nowhere.md)', "target not found: 'nowhere.md'"),
    'heading': ('[a](api.md#nowhere)', "'nowhere'"),
    'file': ('[a](../configs/nowhere.py)',
             "target not found: '../configs/nowhere.py'"),
    'picture': ('![a](nowhere.png)', 'image file not readable'),
    'class': ('```{eval-rst}\n.. autoclass:: agvm_mm.Nowhere\n```',
              "failed to import 'Nowhere' from module 'agvm_mm'"),
    'name': ('```{eval-rst}\n.. autofunction:: agvm_mm.register_configs\n```',
             'reference target not found: agvm_mm.nowhere'),
    'forgotten': ('No list of the index has this page.',
                  "forgotten.md: WARNING: document isn't included in any"),
}


@pytest.fixture(scope='module', name='complaints')
def _complaints(checkout, site):
    """What is said of a site in which each page has something broken."""
    for page in (checkout / 'docs').glob('*.md'):
        page.unlink()
    index = ['# Broken', '', '## Pages', '', '- [Gone](gone.md)']
    for name, (text, _) in BROKEN.items():
        (checkout / f'docs/{name}.md').write_text(f'# {name}\n\n{text}\n')
        if name != 'forgotten':
            index.append(f'- [{name}]({name}.md)')
    for page in ('README.md', '.github/CONTRIBUTING.md', 'docs/api.md'):
        (checkout / page).write_text('# Whole\n')
        index.append(f'- [{page}]({os.path.relpath(page, "docs")})')
    (checkout / 'docs/index.md').write_text('\n'.join(index))
    hub = checkout / 'agvm_mm/hub.py'
    hub.write_text(hub.read_text().replace('mod:`agvm_mm.configs`',
                                           'mod:`agvm_mm.nowhere`'))
    return build(checkout, status=1)


@pytest.mark.parametrize('name', BROKEN)
def test_what_is_broken_fails(name, complaints):
    assert BROKEN[name][1] in complaints


def test_a_page_of_the_index_that_is_not_there_fails(complaints):
    assert "nonexisting document 'docs/gone'" in complaints
    # And nothing else does: a whole page is no complaint.
    assert 'api.md:' not in complaints
    assert 'README.md:' not in complaints
