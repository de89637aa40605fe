"""Reads a config by its file, or by its name in an OpenMMLab package."""
from __future__ import annotations

import argparse
import difflib
import traceback
from pathlib import Path
from typing import Any, Sequence

from mmengine.config import Config, ConfigDict, DictAction
from mmengine.config.utils import MODULE2PACKAGE, ConfigParsingError
from mmengine.hub import get_config
from mmengine.utils import get_installed_path, is_installed

from agvm_mm import register_configs
from agvm_mm.large_batch.settings import AUTO, as_count

# What a config names and this package reads.
OWN_NAMES = ('total_batch_size', 'max_samples_per_gpu', 'num_train_images',
             'recovery', 'runner_type')


class Options(DictAction):
    """MMEngine's ``--cfg-options``, whose mistakes are one line."""

    def __call__(self,
                 parser: argparse.ArgumentParser,
                 namespace: argparse.Namespace,
                 values: Sequence[str],
                 option_string: str | None = None) -> Any:
        """Read what was given."""
        for option in values:
            if '=' not in option:
                parser.error(f'--cfg-options: {option!r} is not KEY=VALUE, '
                             'without spaces')
        try:
            super().__call__(parser, namespace, values, option_string)
        except AssertionError as error:
            parser.error(f'--cfg-options: {error}')  # as of its brackets


def load_config(name: str, options: dict | None = None) -> Config:
    """Read a config.

    Args:
        name (str): Its file, or a package's, as
            ``mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py``.
        options (dict, optional): Of ``--cfg-options``. Defaults to None.

    Raises:
        FileNotFoundError: If there is no such file. It names those that are
            like it.
        ValueError: If it cannot be read, or misspells a setting of this
            package.
    """
    register_configs()
    if '::' in name:
        _check_packaged(name)
    elif Path(name).is_dir():
        raise FileNotFoundError(f'the config {name} is a folder: name a file '
                                'in it')
    elif not Path(name).is_file():
        raise FileNotFoundError(f'the config {name} does not exist in '
                                f'{Path.cwd()}{_like(Path(name))}')
    try:
        cfg = get_config(name) if '::' in name else Config.fromfile(name)
    except Exception as error:
        # A config is a program: whatever its lines raise, and what MMEngine
        # says of two that do not merge.
        raise ValueError(f'the config {name} cannot be read: {_why(error)}'
                         ) from error
    try:
        cfg.merge_from_dict(options or {})
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(
            f'--cfg-options does not fit {name} ({error}): to change an item '
            'of a list write the whole, as milestones=[8,11]') from error
    for key in options or {}:
        if key.partition('.')[0] == 'agvm':
            raise ValueError(f'--cfg-options {key} is read by nobody: write '
                             f'optim_wrapper.{key}')
    for key in ('total_batch_size', 'max_samples_per_gpu', 'num_train_images'):
        if key in cfg:
            cfg[key] = as_count(cfg[key])
    check_spelling(cfg)
    return cfg


def _why(error: Exception) -> str:
    """What is wrong in a config, and in which of its lines."""
    problem = ' '.join(str(error).split())
    if isinstance(error,
                  (ConfigParsingError, ImportError, OSError, SyntaxError)):
        return problem
    lines = [
        f' ({frame.filename}, line {frame.lineno})'
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.name == '<module>'
    ]
    return f'{type(error).__name__}: {problem}{"".join(lines[-1:])}'


def samples_per_gpu(value: str) -> int | str:
    """What ``--samples-per-gpu`` takes.

    Args:
        value (str): From the command line.

    Returns:
        int or str: A number, or 'auto'.
    """
    return value if value == AUTO else int(value)


def check_spelling(cfg: Config) -> None:
    """Refuse a setting of this package that is spelt wrong.

    Args:
        cfg (Config): Of a run.

    Raises:
        ValueError: That names the setting.
    """
    fields = [('', key, OWN_NAMES) for key in cfg]
    wrapper = cfg.get('optim_wrapper')
    if isinstance(wrapper, dict):
        fields += [('optim_wrapper.', key, ('agvm', )) for key in wrapper]
        fields += [(f'optim_wrapper.{name}.', key, ('agvm', ))
                   for name, child in wrapper.items()
                   if isinstance(child, ConfigDict) and 'optimizer' in child
                   for key in child]
    for where, key, own in fields:
        # In a short name one letter is a quarter of it. A variable of the
        # config's own may be samples_per_gpu, or val_batch_size.
        cutoff = 0.75 if own == ('agvm', ) else 0.9
        meant = difflib.get_close_matches(key, own, n=1, cutoff=cutoff)
        # Beside the setting itself it is a variable of the config's own.
        if key not in own and meant and (where or meant[0] not in cfg):
            raise ValueError(f'{where}{key} is unknown: did you mean '
                             f'{where}{meant[0]}?')


def _check_packaged(name: str) -> None:
    """Refuse the name of a config that its package does not hold."""
    package, _, path = name.partition('::')
    installed = MODULE2PACKAGE.get(package, package)
    if not is_installed(installed):
        raise ValueError(f'the config {name} is of the package {package}, '
                         'which is not installed: install it, or name a file')
    folder = Path(get_installed_path(installed), '.mim', 'configs')
    if not (folder / path).is_file():
        raise FileNotFoundError(
            f'{package} has no config {path}'
            f'{_like(folder / path, f"{package}::", folder)}')


def _like(path: Path, prefix: str = '', root: Path | None = None) -> str:
    """A half sentence that names files like one that is not there."""
    if not path.parent.is_dir():
        where = path.parent.relative_to(root) if root else path.parent
        return f': there is no folder {prefix}{where}'
    files = {
        str(p.relative_to(root) if root else p)
        for p in path.parent.glob('*.py')
    }
    wanted = str(path.relative_to(root) if root else path)
    near = difflib.get_close_matches(wanted, files, n=3)
    if not near:
        return ''
    return '; there is ' + ', '.join(f'{prefix}{name}' for name in near)
