"""Which classic config is which new-style file."""
from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.utils import get_installed_path

ROOT = Path(__file__).resolve().parents[2]
CLASSIC = ROOT / 'configs'


def source_of(name: str, folder: Path) -> Path:
    """The file that a ``_base_`` names.

    Args:
        name (str): A path, or as ``mmdet::_base_/default_runtime.py``.
        folder (Path): Of the config that names it.
    """
    package, found, path = name.partition('::')
    if found:
        return Path(get_installed_path(package), '.mim/configs', path)
    return (folder / name).resolve()


def bases_of(path: Path) -> list[Path]:
    """The files that a classic config inherits from."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == '_base_':
            names = ast.literal_eval(node.value)
            names = [names] if isinstance(names, str) else names
            return [source_of(name, path.parent) for name in names]
    return []


def twin_of(path: Path) -> Path:
    """The new-style file of a classic one, relative to agvm_mm/configs."""
    if CLASSIC in path.parents:
        relative = path.relative_to(CLASSIC)
    else:
        package, inner = str(path).split('/.mim/configs/_base_/')
        relative = Path('_base_', Path(package).name, inner)
    return relative.with_name(f'{path.stem.replace("-", "_")}.py')


def relative(path: Path, base: Path) -> str:
    """How a config's new-style file imports another's."""
    here, there = twin_of(path).parent, twin_of(base)
    ups = 1
    while here not in there.parents:
        here, ups = here.parent, ups + 1
    parts = there.relative_to(here).with_suffix('').parts
    return '.' * ups + '.'.join(parts)


def name_of(path: Path) -> str:
    """A config as the docs name it."""
    if CLASSIC in path.parents:  # .venv lies in ROOT too
        return str(path.relative_to(ROOT))
    package, inner = str(path).split('/.mim/configs/')
    return f'{Path(package).name}::{inner}'


def read(path: Path) -> dict[str, Any]:
    """A classic config's settings."""
    return without_scopes(Config.fromfile(path).to_dict())


def without_scopes(value: Any) -> Any:
    """A setting without the scopes of its types, which classes do not need."""
    if isinstance(value, dict):
        return {
            key: without_scopes(item)
            for key, item in value.items() if key != '_scope_'
        }
    if isinstance(value, (list, tuple)):
        return type(value)(map(without_scopes, value))
    return value
