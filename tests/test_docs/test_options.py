"""docs/options.md has every setting, by the name and default of the code."""
import ast
import inspect
import re
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import (
    HOOKS,
    LOOPS,
    OPTIM_WRAPPERS,
    RUNNERS,
    STRATEGIES,
)
from torch import nn

from agvm_mm import AGVMFSDPStrategy
from agvm_mm.engine.mixin import AGVMMixin
from agvm_mm.engine.modulation import Modulation
from agvm_mm.engine.options import AGVM_OPTIONS
from agvm_mm.large_batch.recovery_hooks import RECOVERY, REPLACED
from agvm_mm.measuring.measurement import Sums
from tests.test_docs.messages import ROOT, files

PAGE = (ROOT / 'docs/options.md').read_text()
TOOLS = ('train.py', 'test.py', 'plan.py', 'show_partition.py',
         'plot_variance.py', 'report.py', 'make_digits.py')
# What a script reads and no user sets for it.
INNER = {'BASH_SOURCE', 'CPLUS_INCLUDE_PATH', 'PYENV_ROOT', 'XDG_CACHE_HOME'}


def table(heading, first):
    """The rows of the table whose head begins so, below a heading."""
    text = PAGE.split(f'\n## {heading}\n')[1].split('\n## ')[0]
    rows = text.split(f'\n| {first} |')[1].split('\n\n')[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip('|').split(' | ')]
            for row in rows]


def spans(cell):
    return re.findall('`([^`]+)`', cell)


def default_of(owner, name):
    return inspect.signature(owner.__init__).parameters[name].default


def test_the_options_of_agvm():
    rows = table('`optim_wrapper.agvm`', 'option')
    assert {
        spans(name)[0]: ast.literal_eval(default.strip('`'))
        for name, default, _ in rows
    } == AGVM_OPTIONS
    assert [spans(name)[0] for name, *_ in rows] == list(AGVM_OPTIONS)


def test_the_options_beside_agvm():
    rows = {
        spans(name)[0]: ast.literal_eval(default.strip('`'))
        for name, default, _ in table('Beside `agvm`', 'option')
    }
    assert rows == dict(
        accumulative_counts=default_of(OptimWrapper, 'accumulative_counts'),
        clip_grad=default_of(OptimWrapper, 'clip_grad'),
        clip_grad_range=default_of(AGVMMixin, 'clip_grad_range'),
        loss_scale=default_of(AmpOptimWrapper, 'loss_scale'),
        dtype=default_of(AmpOptimWrapper, 'dtype'))


def test_the_settings_of_a_total_batch_are_read():
    sources = ''.join(path.read_text() for path in files('.py')
                      if 'agvm_mm' in path.parts[:-1])
    names = [spans(row[0])[0] for row in table('The total batch', 'setting')]
    assert len(names) == 4
    for name in names:
        assert re.search(rf"get\('{name}'[,)]", sources), name


def test_the_switches_of_recovery():
    rows = table('Recovery', 'name')
    assert {spans(name)[0]: spans(hook)[0]
            for name, hook, _ in rows} == {
                **RECOVERY,
                **{name: ours for name, (_, ours) in REPLACED.items()}
            }


def test_the_types_are_registered():
    assert default_of(AGVMFSDPStrategy, 'state_dict_cfg') == 'full'
    for registry, names in (
        (OPTIM_WRAPPERS, ('AGVMOptimWrapper', 'AGVMAmpOptimWrapper')),
        (RUNNERS, ('TotalBatchRunner', 'TotalBatchFlexibleRunner')),
        (HOOKS, ('TotalBatchSizeHook', 'UpdateParamSchedulerHook',
                 'UpdateEMAHook', 'SeededUpdatesHook')),
        (LOOPS, ('TotalBatchEpochLoop', 'TotalBatchIterLoop')),
        (STRATEGIES, ('AGVMFSDPStrategy', )),
    ):
        for name in names:
            assert f'`{name}`' in PAGE or f"`'{name}'`" in PAGE
            assert registry.get(name) is not None


def flags_of(tool):
    """A tool's flags, but for those whose help is suppressed."""
    for node in ast.walk(ast.parse((ROOT / 'tools' / tool).read_text())):
        if getattr(getattr(node, 'func', None), 'attr', '') == 'add_argument':
            hidden = any(
                isinstance(k.value, ast.Attribute) for k in node.keywords
                if k.arg == 'help')
            if node.args[0].value.startswith('--') and not hidden:
                yield node.args[0].value


@pytest.mark.parametrize('tool', TOOLS)
def test_the_flags_of_a_tool(tool):
    told = [
        flag for flags, tools, _ in table('The command line', 'flag')
        for flag in spans(flags) if tool in spans(tools)
    ]
    assert sorted(told) == sorted(flags_of(tool))


def test_the_arguments_of_a_script_are_its_usage():
    rows = dict(table('The command line', 'command'))
    for path in files('.sh'):
        usage = re.search(r'usage: \$0 ([A-Z_ ]+) \[arguments of (.*?)\]',
                          path.read_text())
        if usage:
            assert rows[f'`tools/{path.name}`'] == (
                f'`{usage[1]}`, then those of `{usage[2]}`')


def scripts_reading(variable):
    """Scripts that read a variable, and its defaults in them."""
    found = {}
    for path in files('.sh'):
        for default in re.findall(rf'\$\{{{variable}:-(.*?)\}}',
                                  path.read_text()):
            found[path.name] = default
    return found


def test_environment_variables():
    rows = table('Environment variables', 'variable')
    named = {spans(row[0])[0]: row for row in rows}
    read = {
        variable
        for path in files('.sh')
        for variable in re.findall(r'\$\{([A-Z][A-Z_]+):-', path.read_text())
    }
    assert read - INNER <= set(named)
    sources = ''.join(path.read_text() for path in files('.py'))
    for variable, (_, tools, default, _) in named.items():
        found = scripts_reading(variable)
        if not found:
            assert f"'{variable}'" in sources
        elif tools != 'the launchers':
            assert set(spans(tools)) == set(found)
        for value in spans(default):
            # The cache has another default in it: that of the desktop.
            told = value.replace('~', '${XDG_CACHE_HOME:-$HOME')
            assert any(told.startswith(own) for own in found.values() if own)


def test_what_is_logged():
    rows = table('What is logged', 'name')
    told = {spans(row[0])[0].replace('NAME', 'backbone') for row in rows}
    modulation = Modulation(['backbone', 'neck'], AGVM_OPTIONS, partly=True)
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1)
    logged = set()
    for num_samples in (8.0, 0.0):
        hub = MessageHub.get_instance(f'test_options_{num_samples}')
        sums = torch.tensor([1., 2.], dtype=torch.float64)
        measurement = SimpleNamespace(
            failed=None,
            finish=lambda sums=sums, num_samples=num_samples: Sums(
                4, num_samples, 8 * sums, sums, sums))
        modulation.take(measurement, optimizer)
        modulation.log(hub)
        logged.update(hub.log_scalars)
    assert {f'train/{name}'
            for name in told
            } == {name
                  for name in logged if not name.endswith('/neck')}
