"""Finds, before a run is built, what would end it."""
from __future__ import annotations

import itertools
import os
import tempfile
from typing import Iterator, Mapping

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapperDict, build_optim_wrapper
from partitions.models import build_on_meta

from agvm_mm.large_batch.launch import world_size
from agvm_mm.large_batch.probe.silence import silently
from agvm_mm.large_batch.schedulers import build_scheduler
from agvm_mm.large_batch.settings import (
    measures,
    schedulers_of,
    with_agvm,
    wrappers_of,
)
from agvm_mm.measuring.ddp import check_replicas

from .building import named_field, told
from .refusals import raised_by_us

ROOM = 2**18  # bytes: less than a run's first lines and its config
TRAINING = dict(train_dataloader='training', val_dataloader='validation')
TEST = dict(test_dataloader='test')


def check_work_dir(work_dir: str) -> None:
    """Refuse a work dir that cannot be written.

    Args:
        work_dir (str): It is made.

    Raises:
        OSError: That names it.
    """
    try:
        os.makedirs(work_dir, exist_ok=True)
        with tempfile.TemporaryFile(dir=work_dir) as file:
            file.write(bytes(ROOM))  # A full disk still has names for files.
    except OSError as error:
        raise OSError(f'work_dir={work_dir!r} cannot be written '
                      f'({error.strerror}): name another with --work-dir'
                      ) from error


def check_wrapper(cfg: Config, launcher: str) -> None:
    """Refuse what AGVM's wrapper would, without the data and the weights.

    The wrapper is built on a model without memory, and the schedulers beside
    its optimizer. A model that cannot be built so is checked when it is built
    for the run.

    Args:
        cfg (Config): Of a run, resolved.
        launcher (str): That started it.

    Raises:
        ValueError: As :class:`~agvm_mm.engine.optim_wrapper.AGVMOptimWrapper`
            and its constructor, or if the model, its optimizer or a scheduler
            cannot be built.
    """
    if not with_agvm(cfg):
        return
    for wrapper in wrappers_of(cfg).values():
        if measures(wrapper):
            check_replicas(
                world_size(launcher), wrapper.get('accumulative_counts', 1))
    try:
        with silently(), torch.random.fork_rng(devices=[]), named_field(cfg):
            try:
                model = build_on_meta(cfg)
                wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
            except RuntimeError:
                return  # It reads numbers, of which there are none.
            except TypeError as error:
                if 'meta device' in str(error):
                    return  # as numpy() does
                raise
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        if raised_by_us(error):
            raise
        raise ValueError('the model or its optim_wrapper cannot be built: '
                         f'{told(error)}') from error
    several = isinstance(wrapper, OptimWrapperDict)
    for name, child in wrapper.items() if several else [(None, wrapper)]:
        for where, settings in schedulers_of(cfg, name):
            build_scheduler(
                cfg, where, settings, optimizer=child, epoch_length=1)


def check_data(cfg: Config,
               config: str,
               loaders: Mapping[str, str] = TRAINING) -> None:
    """Refuse a config whose data or images are not there, before it starts.

    Args:
        cfg (Config): Of the run.
        config (str): Its name, for the message.
        loaders (Mapping[str, str]): Those that run, and what is read there.
            Defaults to ``TRAINING``.

    Raises:
        FileNotFoundError: That says how to make or place them.
    """
    for loader, use in loaders.items():
        datasets = list(_datasets(cfg.get(loader)))
        for root in filter(_is_missing, map(_root, datasets)):
            mend = (f'put the data there, or set {loader}.dataset.data_root, '
                    'and that of the other dataloaders')
            if os.path.basename(os.path.normpath(root)) == 'digits':
                tool = os.path.join(
                    os.path.dirname(__file__), '..', 'make_digits.py')
                mend = f'make it with: python {os.path.relpath(tool)} {root}'
            raise FileNotFoundError(
                f'{config} reads its {use} data from {root!r}, but there is '
                f'no folder {os.path.abspath(root)}; {mend}')
        for key, folder in itertools.chain(*map(_image_folders, datasets)):
            if _is_missing(folder):
                raise FileNotFoundError(
                    f'{config} reads its {use} images from {folder!r}, but '
                    f'there is no folder {os.path.abspath(folder)}; put them '
                    f'there, or set {loader}.dataset.data_prefix.{key}')


def _is_missing(folder: str | None) -> bool:
    return bool(folder) and '://' not in folder and not os.path.isdir(folder)


def _datasets(settings: object) -> Iterator[dict]:
    """What states data by itself: a data set, and those that it wraps."""
    if isinstance(settings, (list, tuple)):
        for item in settings:
            yield from _datasets(item)
    elif isinstance(settings, dict):
        yield settings
        for key in ('dataset', 'datasets'):
            yield from _datasets(settings.get(key))


def _root(settings: dict) -> str | None:
    """The data_root of a data set, if it reads anything below it."""
    root = settings.get('data_root')
    if not isinstance(root, str) or not _is_local(settings):
        return None
    prefixes = _prefixes(settings)
    paths = [settings.get('ann_file') or os.sep, *prefixes.values()]
    lies_elsewhere = bool(prefixes) and all(
        isinstance(path, str) and os.path.isabs(path) for path in paths)
    return None if lies_elsewhere else root


def _image_folders(settings: dict) -> Iterator[tuple[str, str]]:
    """The folders that mmdet's and mmseg's data sets read each image from."""
    steps = settings.get('pipeline')
    if not _is_local(settings) or (steps and 'Load' not in str(steps)):
        return  # Nobody reads them, as where mmpose lifts key points.
    prefixes = _prefixes(settings)
    for key in ('img', 'img_path', 'seg', 'seg_map_path'):
        if key.startswith('seg') and steps and 'Annotation' not in str(steps):
            continue  # Images without labels, as of a submission.
        if isinstance(prefixes.get(key), str) and prefixes[key]:
            yield key, os.path.join(
                settings.get('data_root') or '', prefixes[key])


def _prefixes(settings: dict) -> dict:
    prefixes = settings.get('data_prefix')
    return prefixes if isinstance(prefixes, dict) else {}


def _is_local(settings: dict) -> bool:
    """Whether a data set of MMEngine reads files of this machine."""
    backend = settings.get('backend_args') or {}
    return backend.get('backend', 'local') == 'local'
