"""The tools as programs, and what the tests allow to be started."""
import runpy
from pathlib import Path

import pytest

from tests import commands

TOOLS = sorted(
    path for path in (commands.ROOT / 'tools').glob('*.py')
    if '__main__' in path.read_text())


@pytest.mark.parametrize('path', TOOLS, ids=lambda path: path.stem)
def test_a_tool_tells_its_usage(path, monkeypatch, capsys):
    """As python runs it, but in this process, which has imported the most."""
    monkeypatch.setattr('sys.argv', [path.name, '--help'])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(path), run_name='__main__')
    assert ended.value.code == 0
    assert f'usage: {path.name}' in capsys.readouterr().out


@pytest.mark.parametrize(
    'path',
    sorted((commands.ROOT / 'tools').glob('*.sh')),
    ids=lambda path: path.stem)
def test_a_script_tells_its_usage(path, tmp_path):
    head, _ = path.read_text().split('\nset -euo')
    told = commands.call('bash', path, '--help', cwd=tmp_path)
    assert told.split() == head.replace('#', '').split()[2:]
    assert f'bash tools/{path.name}' in told


def test_only_slow_tests_start_trainings(request):
    # It names the module, which the rule in conftest.py does not follow.
    assert request.node.get_closest_marker('slow') is None
    with pytest.raises(AssertionError, match='is not marked as slow'):
        commands.run('true')
    assert Path(commands.call('pwd').strip()) == commands.ROOT
