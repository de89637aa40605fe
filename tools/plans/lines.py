"""The lines of a config that inherits from another one."""
from __future__ import annotations

import keyword
import math
import os
import textwrap
from pathlib import Path
from typing import Any, Sequence

from mmengine.config import Config
from yapf.yapflib.yapf_api import FormatCode

# Of the project's own files.
STYLE = dict(
    based_on_style='pep8',
    split_before_expression_after_opening_paren=True)


def changed(base: dict, new: dict) -> dict:
    """What a config that inherits from ``base`` has to state to be ``new``.

    MMEngine merges dicts, and replaces everything else as a whole.

    Args:
        base (dict): The settings inherited.
        new (dict): The settings meant.
    """
    found: dict[str, Any] = {}
    for key, value in new.items():
        if key in base and base[key] == value:
            continue
        below = base.get(key)
        if not isinstance(value, dict) or key not in base:
            found[key] = value
        elif isinstance(below, dict) and below.keys() <= value.keys():
            found[key] = changed(below, value)
        else:
            found[key] = dict(_delete_=True, **value)
    return found


def lines_of(name: str, base: Config, new: Config, out: Path | None,
             remarks: Sequence[str]) -> str:
    """The text of such a config.

    Args:
        name (str): Of the config inherited: a file, or a package's own.
        base (Config): What it holds.
        new (Config): What the text is to hold.
        out (Path, optional): Where it is to lie. None is beside ``name``.
        remarks (Sequence[str]): Sentences for its head.

    Raises:
        ValueError: If ``out`` is the config inherited.
    """
    head = [
        line for remark in remarks for line in textwrap.wrap(
            remark, 79, initial_indent='# ', subsequent_indent='#   ')
    ]
    inherited = _path_from(name, out)
    if inherited is not None:
        head.append(f'_base_ = {inherited!r}')
    settings = changed(base.to_dict(), new.to_dict())
    lines = [f'{key} = {_code(value)}' for key, value in settings.items()]
    code, _ = FormatCode('\n'.join(lines), style_config=STYLE)
    return '\n'.join([*head, code])


def _code(value: Any) -> str:
    """As one writes it by hand."""
    if isinstance(value, list):
        return f'[{", ".join(map(_code, value))}]'
    if isinstance(value, float) and not math.isfinite(value):
        return f'float({str(value)!r})'
    if not isinstance(value, dict):
        return repr(value)
    items = {key: _code(below) for key, below in value.items()}
    if all(isinstance(key, str) and key.isidentifier()
           and not keyword.iskeyword(key) for key in items):
        return f'dict({", ".join(f"{k}={v}" for k, v in items.items())})'
    return f'{{{", ".join(f"{k!r}: {v}" for k, v in items.items())}}}'


def _path_from(name: str, out: Path | None) -> str | None:
    """How a file names the config; None if none can inherit from it."""
    if '::' in name:
        return name
    new_style = Config._is_lazy_import(name)
    if out is None:
        return None if new_style else f'./{Path(name).name}'
    if new_style:
        raise ValueError(
            f"the config {name} is of MMEngine's new style, which no _base_ "
            'names: leave --out out, and change in it the lines that are '
            'printed')
    # As the system resolves it, but the config itself: what it inherits lies
    # beside its own name.
    config = Path(name).parent.resolve() / Path(name).name
    target = out.parent.resolve() / out.name
    if target == config:
        raise ValueError(f'--out {out} is the config itself: name another file'
                         )
    return Path(os.path.relpath(config, target.parent)).as_posix()
