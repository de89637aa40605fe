import importlib

import pytest

from tests.commands import ROOT

# Also the name of a module of the package, and of its test.
tool = importlib.import_module('optimizer_table')


def test_the_table_of_optimizers_is_up_to_date():
    tool.main(['--check'])


def test_a_page_that_is_not_up_to_date_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(tool, 'PAGE', tmp_path / 'optimizers.md')
    with pytest.raises(SystemExit, match='not up to date'):
        tool.main(['--check'])
    tool.main([])
    page = (tmp_path / 'optimizers.md').read_text()
    assert page == (ROOT / 'docs/optimizers.md').read_text()
    assert '`FusedAdam`\\*' in page
    assert '`AdamW`, ' in page
