"""Which class the name of a type is."""
from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any, Iterator

from mmengine.registry import Registry, root

import agvm_mm.optimizers  # noqa: F401  (whose types are looked up)

# Settings that name a class.
CLASSES = ('type', 'constructor', 'runner_type', 'dataset_type')
# Settings whose type MMEngine takes by its name alone.
BY_NAME = ('model_wrapper', 'model_wrapper_cfg')


class Types:
    """The classes of the names that a config's types are.

    Args:
        names (set[str]): Of the types in one file, which tell whether they
            are mmdet's or mmseg's.
    """

    def __init__(self, names: set[str]) -> None:
        tables = [self._table(scope) for scope in ('mmdet', 'mmseg')]
        self.classes = max(tables, key=lambda table: len(names & set(table)))

    @staticmethod
    def _table(scope: str) -> dict[str, type]:
        import_module(f'{scope}.utils').register_all_modules(False)
        import_module(f'{scope}.visualization')  # mmseg's leaves it out.
        registries = [
            value for value in vars(root).values()
            if isinstance(value, Registry)
        ]
        registered: dict[str, Any] = {}
        for registry in registries:
            registered.update(registry.module_dict)
        for registry in registries:
            child = registry.children.get(scope)
            registered.update(child.module_dict if child else {})
        # What is registered by another name, as nn.SyncBatchNorm is, is
        # understood by that name alone.
        return {
            name: value
            for name, value in registered.items()
            if inspect.isclass(value) and value.__name__ == name
        }

    def home(self, name: str) -> str | None:
        """The module to import a class from: the shortest that has it."""
        found = self.classes.get(name)
        parts = found.__module__.split('.') if found else []
        # Others say mmcv.transforms, where mmcv itself would do.
        for length in range(1 if parts[:1] == ['agvm_mm'] else 2,
                            len(parts) + 1):
            module = '.'.join(parts[:length])
            if getattr(import_module(module), name, None) is found:
                return module
        return None


def types_in(value: Any, key: str = '') -> Iterator[str]:
    """The names of classes in a setting."""
    if isinstance(value, dict):
        for inner, item in value.items():
            yield from types_in(item, inner)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from types_in(item)
    elif key in CLASSES and isinstance(value, str):
        yield value
