"""Each class that might count iterations has its verdict."""
import importlib
import pkgutil
from pathlib import Path

import pytest
from mmengine.hooks import Hook
from torch.utils.data import Sampler

from agvm_mm.large_batch import known

DOCS = Path(__file__).parents[2] / 'docs' / 'accumulation.md'
# Where MMEngine, mmdet and mmseg keep them.
PLACES = ('agvm_mm.large_batch', 'agvm_mm.recovery', 'mmengine.hooks',
          'mmengine.dataset', 'mmdet.engine.hooks',
          'mmdet.datasets.samplers', 'mmseg.engine.hooks')
TABLES = ((Hook, known.HOOKS), (Sampler, known.SAMPLERS))

# What OneDL's forks alone have.
OF_FORKS = {'TrainAugmentDetVisualizationHook'}


def classes(base):
    for place in PLACES:
        package = importlib.import_module(place)
        for module in pkgutil.iter_modules(package.__path__, place + '.'):
            for value in vars(importlib.import_module(module.name)).values():
                if (isinstance(value, type) and issubclass(value, base)
                        and value is not base
                        and value.__module__.startswith(place)):
                    yield value.__name__


@pytest.mark.parametrize(('base', 'table'), TABLES)
def test_none_is_left_out(base, table):
    pytest.importorskip('mmdet.engine')
    pytest.importorskip('mmseg.engine')
    here = set(classes(base))
    assert here <= set(table)
    assert set(table) - here <= OF_FORKS


def test_the_counts_are_those_of_the_hooks():
    scaled = {
        name
        for name, verdict in known.HOOKS.items() if verdict == known.SCALED
    }
    assert scaled == set(known.HOOK_COUNTS)


def test_the_page_shows_the_tables():
    page = DOCS.read_text()
    counts = map(len, (known.HOOKS, known.SAMPLERS, known.MODEL_COUNTS))
    assert ('{} hooks, {} samplers, and {} parts of models'
            .format(*counts)) in page
    lines = page.splitlines()
    for table in (known.HOOKS, known.SAMPLERS):
        for name, verdict in table.items():
            row = f'| `{name}` | {verdict} |'
            assert any(line.startswith(row) for line in lines), row
    for table in (known.HOOK_COUNTS, known.MODEL_COUNTS):
        for name, counts in table.items():
            cells = ', '.join(f'`{key}`' for key in counts)
            assert any(
                line.startswith(f'| `{name}` |')
                and line.endswith(f'| {cells} |') for line in lines), name
