"""The rooms of the package: who imports whom, and what an import changes."""
import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / 'agvm_mm'
# In a source distribution .mim holds files, not links.
FILES = sorted(p for p in PACKAGE.rglob('*.py') if '.mim' not in p.parts)
STDLIB = getattr(sys, 'stdlib_module_names', ())  # from Python 3.10 on
MMENGINE = {'torch', 'mmengine'}
# What a room may import beside the standard library and itself.
ALLOWED = {
    'algorithm': {'torch'},
    'measuring': {'torch', 'algorithm'},
    'engine': {
        *MMENGINE, 'algorithm', 'measuring', 'large_batch', 'compat',
        'recovery'
    },
    'large_batch': {*MMENGINE, 'recovery', 'compat'},
    'recovery': {*MMENGINE, 'numpy', 'compat'},
    'compat': {*MMENGINE, 'numpy'},  # the numpy that checkpoints hold
    'datasets': {'numpy', 'cv2', 'sklearn', 'pycocotools'},
    'hub': MMENGINE,
    # Settings in MMEngine's new style: it reads their imports, and imports no
    # more than the classes that a run builds.
    'configs': {
        *MMENGINE, 'mmcv', 'mmdet', 'mmseg', 'agvm_mm', 'pytorch_optimizer',
        'cpu', 'engine', 'large_batch', 'recovery', 'compat'
    },
    # Names that configs list in custom_imports.
    'cpu': MMENGINE,
    'optimizers': {*MMENGINE, 'pytorch_optimizer'},
}


def name_of(path):
    """The module's name, as agvm_mm.engine.logs."""
    parts = path.relative_to(PACKAGE.parent).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


MODULES = {name_of(path): path for path in FILES}


def imports(name):
    """All that a module imports, anywhere in it, by absolute names."""
    path = MODULES[name]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # From its package: itself, if that is what it is.
            package = name.split('.')
            if path.name != '__init__.py':
                package.pop()
            package = package[:len(package) - node.level + 1]
            parts = package if node.level else []
            source = '.'.join([*parts, *filter(None, [node.module])])
            for alias in node.names:
                whole = f'{source}.{alias.name}'
                yield whole if whole in MODULES else source


def room_of(imported):
    """A room of the package, or another's package."""
    first, *rest = imported.split('.')
    return rest[0] if first == 'agvm_mm' and rest else first


@pytest.mark.skipif(not STDLIB, reason='which modules are its own, Python 3.9 '
                    'does not tell')
@pytest.mark.parametrize('name', [n for n in MODULES if n != 'agvm_mm'])
def test_a_room_imports_what_it_may(name):
    room = room_of(name)
    found = set(map(room_of, imports(name)))
    assert found - set(STDLIB) <= ALLOWED[room] | {room}


def test_the_package_imports_its_own_rooms_alone():
    assert set(map(room_of, imports('agvm_mm'))) <= set(ALLOWED)


def test_imports_of_this_file_are_resolved():
    """Or the rule above would hold of anything."""
    found = set(imports('agvm_mm.measuring.fsdp'))
    assert 'agvm_mm.measuring.direction' in found
    assert 'torch.distributed.fsdp' in {n[:22] for n in found}
    assert 'agvm_mm.algorithm.partition' in set(imports('agvm_mm'))
    assert 'agvm_mm.large_batch' in set(imports('agvm_mm'))


def test_no_module_imports_itself_by_others():
    graph = {name: set(imports(name)) & set(MODULES) for name in MODULES}
    for name in MODULES:
        reached, todo = set(), graph[name]
        while todo:
            reached |= todo
            todo = set().union(*(graph[other] for other in todo)) - reached
        assert name not in reached, f'{name} is in a circle of imports'


@pytest.mark.parametrize('path', [
    path for path in FILES
    if path.parent.name == 'compat' and path.stem != '__init__'
], ids=name_of)
def test_a_work_around_says_what_would_let_it_go(path):
    head = ast.get_docstring(ast.parse(path.read_text()))
    assert re.search(r'would\s+let\s+this\s+go|goes\s+with', head)


@pytest.mark.parametrize('path', [
    path for path in FILES if not name_of(path).startswith('agvm_mm.configs.')
], ids=name_of)
def test_a_file_is_read_in_one_sitting(path):
    lines = len(path.read_text().splitlines())
    assert lines <= 250


# Prints what an import of the package changes and what more it loads.
CHANGES = """
import importlib, inspect, pkgutil, sys, types
import torch
import mmengine.hooks, mmengine.model, mmengine.optim, mmengine.runner
import mmengine.logging, mmengine.registry, torch.distributed
import torch.optim.lr_scheduler, torch.serialization
from mmengine.config.utils import MODULE2PACKAGE

PACKAGES = ('mmengine', 'torch.optim', 'torch.serialization',
            'torch.utils.data', 'torch.nn.modules', 'torch.nn.parallel')
SAME = (type, types.FunctionType, types.BuiltinFunctionType, types.MethodType,
        classmethod, staticmethod, property)

def snapshot(names):
    found = {}
    for name in sorted(names):
        module = sys.modules[name]
        if not any(f'{name}.'.startswith(f'{p}.') for p in PACKAGES):
            continue
        for key, value in vars(module).items():
            if isinstance(value, SAME):
                found[f'{name}.{key}'] = value
            if inspect.isclass(value) and value.__module__ == name:
                for attribute, member in vars(value).items():
                    if isinstance(member, SAME):
                        found[f'{name}.{key}.{attribute}'] = member
    return found

def safe_globals():  # which torch has since 2.4
    return getattr(torch.serialization, 'get_safe_globals', list)()

loaded = set(sys.modules)
before, safe = snapshot(loaded), list(safe_globals())
packages = dict(MODULE2PACKAGE)
import agvm_mm
after = snapshot(loaded)
assert any(key.endswith('_ParamScheduler.load_state_dict') for key in before)
assert 'torch.serialization.load' in before
assert 'mmengine.runner.runner.Runner.train' in before
if MODULE2PACKAGE != packages:
    print('changed', 'MODULE2PACKAGE')
for key in {**before, **after}:
    if before.get(key) is not after.get(key):
        print('changed', key)
for value in safe_globals():
    if value not in safe:
        print('safe', value)
for name in sorted(set(sys.modules) - loaded):
    print('loaded', name)
"""


@pytest.fixture(scope='module', name='said')
def _said():
    """What happens at an import of the package, in a new interpreter."""
    output = subprocess.run([sys.executable, '-c', CHANGES],
                            check=True,
                            stdout=subprocess.PIPE,
                            text=True,
                            timeout=120).stdout
    lines = [line.split(' ', 1) for line in output.splitlines()]
    return {
        kind: [what for k, what in lines if k == kind]
        for kind in ('changed', 'safe', 'loaded')
    }


def test_importing_changes_nothing_of_the_hosts(said):
    assert said['changed'] == []
    assert said['safe'] == []


def test_importing_loads_little(said):
    assert 'agvm_mm.engine.optim_wrapper' in said['loaded']
    heavy = [
        name for name in said['loaded'] if name.startswith((
            'torch._dynamo', 'torch._inductor', 'torch.distributed.fsdp',
            'torch.distributed.checkpoint', 'torch.onnx', 'sklearn',
            'matplotlib', 'cv2', 'mmdet', 'mmseg'))
    ]
    assert heavy == []
