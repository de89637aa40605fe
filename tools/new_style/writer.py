"""Writes one config anew."""
from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator

from yapf.yapflib.yapf_api import FormatCode

from .classes import BY_NAME, CLASSES, Types, types_in
from .files import ROOT, bases_of, name_of, read, relative


class Writer:
    """Writes the new-style file of one classic config.

    Args:
        path (Path): The classic config.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = read(path)
        self.types = Types(set(types_in(self.settings)))
        self.imports: dict[str, set[str]] = {}
        self.named: dict[str, Any] = {}  # Settings that stand above.

    def write(self) -> str:
        """The file's text."""
        inherited, lines = self._inherit()
        for key, value in self.settings.items():
            if inherited.get(key, ...) != value:
                lines.append(f'{key} = {self._code(value, key)}')
                if key == 'custom_imports':
                    lines.append('# Of a config in this style MMEngine does '
                                 'not import what it lists.')
                    lines += [f'__import__({m!r})' for m in value['imports']]
            self.named[key] = value
        text = '\n'.join([*self._import_lines(), '', *lines])
        code, _ = FormatCode(text, style_config=str(ROOT / 'setup.cfg'))
        return ('# Written by tools/python_configs.py from\n'
                f'# {name_of(self.path)}; do not edit.\n{code}')

    def _import_lines(self) -> Iterator[str]:
        for module in sorted(
                self.imports, key=lambda m: (m.startswith('agvm_mm'), m)):
            names = sorted(self.imports[module])
            line = f'from {module} import {", ".join(names)}'
            if len(line) > 79:
                line = '\n    '.join(
                    [f'from {module} import (', *(f'{n},' for n in names)])
                line += '\n)'
            yield line

    def _inherit(self) -> tuple[dict[str, Any], list[str]]:
        """What is taken from the bases, and the lines that do so."""
        inherited, lines = {}, []
        for base in bases_of(self.path):
            settings = read(base)
            kept = {
                key
                for key, value in settings.items()
                if self.settings.get(key, ...) == value
            }
            if kept:
                inherited.update(settings)
                lines.append(f'    from {relative(self.path, base)} import *')
        if lines:
            self.imports['mmengine.config'] = {'read_base'}
            lines.insert(0, 'with read_base():')
        self.named.update((key, value) for key, value in inherited.items()
                          if self.settings[key] == value)
        return inherited, lines

    def _code(self, value: Any, key: str = '') -> str:
        if isinstance(value, (dict, list)) and len(value) > 1:
            for name, other in self.named.items():
                if other == value and type(other) is type(value):
                    return name
        if isinstance(value, dict):
            return self._code_of_dict(value, key)
        if isinstance(value, list):
            return f'[{", ".join(map(self._code, value))}]'
        if isinstance(value, tuple):
            items = ', '.join(map(self._code, value))
            return f'({items},)' if len(value) == 1 else f'({items})'
        if key in CLASSES and isinstance(value, str):
            home = self.types.home(value)
            if home is not None:
                self.imports.setdefault(home, set()).add(value)
                return value
        return repr(value)

    def _code_of_dict(self, value: dict, key: str) -> str:
        items = {
            k: repr(v) if k == 'type' and key in BY_NAME else self._code(v, k)
            for k, v in value.items()
        }
        if all(str(name).isidentifier() for name in items):
            return f'dict({", ".join(f"{k}={v}" for k, v in items.items())})'
        return f'{{{", ".join(f"{k!r}: {v}" for k, v in items.items())}}}'
