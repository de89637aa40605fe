"""Names the field of a config that a library could not build."""
from __future__ import annotations

import sysconfig
import traceback
from contextlib import contextmanager
from types import FrameType
from typing import Any, Iterator

from mmengine.config import Config
from mmengine.registry import build_from_cfg

from .refusals import OWN, raised_by_us

# What a setting that is wrong ends in, wherever it is first used.
ERRORS = (AssertionError, AttributeError, ImportError, KeyError, OSError,
          RuntimeError, TypeError, ValueError)
# Settings without a type, by the methods of MMEngine's runners and strategies
# that take them.
METHODS = dict(
    setup_env='env_cfg',
    _setup_env='env_cfg',
    set_randomness='randomness',
    _set_randomness='randomness',
    build_logger='log_level')
INSTALLED = tuple({sysconfig.get_path(name) for name in ('purelib', 'platlib',
                                                         'stdlib')})


@contextmanager
def named_field(cfg: Config) -> Iterator[None]:
    """Within, an error of building a setting tells which setting it is.

    MMEngine builds what a config states by registries, deep inside of which a
    missing file, an unknown type or a wrong argument is found. Only errors of
    installed libraries are told so: one in a class of a user's own keeps its
    traceback, and so does what is raised when all is built.

    Args:
        cfg (Config): Of the run.

    Raises:
        OSError: If it is of a file or a library, which one machine may lack.
        ValueError: If it is another error of a wrong setting.
    """
    try:
        yield
    except ERRORS as error:
        field = None if raised_by_us(error) else _field_of(error, cfg)
        if field is None:
            raise
        missing = isinstance(error, (ImportError, OSError))
        kind = OSError if missing else ValueError
        raise kind(
            f'{field} cannot be '
            f'{"set" if field in METHODS.values() else "built"}: '
            f'{told(error)}') from error


def told(error: BaseException) -> str:
    """An error in one line, with the place that raised it.

    Args:
        error (BaseException): Of a library.
    """
    text = f'{type(error).__name__}: {" ".join(str(error).split())}'
    last = traceback.extract_tb(error.__traceback__)[-1]
    if isinstance(error, OSError) or last.name == build_from_cfg.__name__:
        return text  # which names the file, or the type
    return f'{text} ({last.filename}, line {last.lineno})'


def _field_of(error: BaseException, cfg: Config) -> str | None:
    """The innermost setting that was being used; None if it is not known."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    # A method that is given wrong arguments is named, and has no frame.
    called = str(error).partition('()')[0].rpartition('.')[2]
    if called in METHODS and _is_library(frames[-1]):
        return METHODS[called]
    for frame in reversed(frames):
        if frame.f_code is build_from_cfg.__code__:
            setting = frame.f_locals['cfg']
            # By items(), types of a config in the new style are classes.
            found = list(_places(dict(cfg.items()), setting, ''))
            same = [place for place, equal in found if equal]
            # A model gives its parts more than the config does: then the type
            # tells, if there is one of it.
            if same or len(found) == 1:
                return (same or [found[0][0]])[0]
        elif not _is_library(frame):
            return None
        elif frame.f_code.co_name in METHODS:
            return METHODS[frame.f_code.co_name]
    return None


def _is_library(frame: FrameType) -> bool:
    """Whether code was installed; a library of OpenMMLab may be a clone."""
    package = frame.f_globals.get('__name__', '').partition('.')[0]
    # Cython's frames name a source that is not there.
    file = frame.f_globals.get('__file__') or frame.f_code.co_filename
    return package.startswith('mm') or file.startswith((*INSTALLED, *OWN))


def _places(config: Any, setting: Any, at: str) -> Iterator[tuple[str, bool]]:
    """Where a config states a type, and whether all that goes with it.

    Args:
        config (dict, list or other): A part of a config.
        setting (dict): What was being built.
        at (str): The part's place.

    Yields:
        tuple[str, bool]: A place, and whether it is the setting.
    """
    if isinstance(config, dict):
        if 'type' in config and config['type'] == setting.get('type'):
            yield at, config == setting
        for key, value in config.items():
            yield from _places(value, setting, f'{at}.{key}' if at else key)
    elif isinstance(config, (list, tuple)):
        for index, value in enumerate(config):
            yield from _places(value, setting, f'{at}[{index}]')
