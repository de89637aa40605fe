"""Finds, before a run is built, what would end it."""
from __future__ import annotations

import os
import tempfile

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapperDict, build_optim_wrapper
from partitions.models import build_on_meta

from agvm_mm.large_batch.launch import world_size
from agvm_mm.large_batch.probe.silence import silently
from agvm_mm.large_batch.schedulers import build_scheduler
from agvm_mm.large_batch.settings import (
    schedulers_of,
    with_agvm,
    wrappers_of,
)
from agvm_mm.measuring.ddp import check_replicas

from .refusals import raised_by_us


def check_work_dir(work_dir: str) -> None:
    """Refuse a work dir that cannot be written.

    Args:
        work_dir (str): It is made.

    Raises:
        OSError: That names it.
    """
    try:
        os.makedirs(work_dir, exist_ok=True)
        tempfile.TemporaryFile(dir=work_dir).close()
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
        if 'agvm' in wrapper:
            check_replicas(
                world_size(launcher), wrapper.get('accumulative_counts', 1))
    try:
        with silently(), torch.random.fork_rng(devices=[]):
            model = build_on_meta(cfg)
            wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    except (NotImplementedError, RuntimeError):
        return  # It reads numbers, of which there are none.
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        if raised_by_us(error):
            raise
        told = ' '.join(str(error).split())
        raise ValueError('the model or its optim_wrapper cannot be built: '
                         f'{type(error).__name__}: {told}') from error
    several = isinstance(wrapper, OptimWrapperDict)
    for name, child in wrapper.items() if several else [(None, wrapper)]:
        for where, settings in schedulers_of(cfg, name):
            build_scheduler(
                cfg, where, settings, optimizer=child, epoch_length=1)


def check_data(cfg: Config, config: str) -> None:
    """Refuse a config whose training data is not there, before it starts.

    Args:
        cfg (Config): Of the run.
        config (str): Its name, for the message.

    Raises:
        FileNotFoundError: That says how to make or place the data.
    """
    missing = [
        root for root in _data_roots(cfg.get('train_dataloader'))
        if root and '://' not in root and not os.path.isdir(root)
    ]
    if not missing:
        return
    root = missing[0]
    mend = ('put the data there, or set train_dataloader.dataset.data_root '
            'and those of val_dataloader and test_dataloader')
    if os.path.basename(os.path.normpath(root)) == 'digits':
        tool = os.path.join(os.path.dirname(__file__), '..', 'make_digits.py')
        mend = f'make it with: python {os.path.relpath(tool)} {root}'
    raise FileNotFoundError(
        f'{config} reads its training data from {root!r}, which does not '
        f'exist in {os.getcwd()}; {mend}')


def _data_roots(settings: object) -> list[str]:
    """Each data_root of a data set, and of those that it wraps."""
    if isinstance(settings, (list, tuple)):
        return [root for item in settings for root in _data_roots(item)]
    if not isinstance(settings, dict):
        return []
    own = settings.get('data_root')
    inner = [
        root for key in ('dataset', 'datasets')
        for root in _data_roots(settings.get(key))
    ]
    used = isinstance(own, str) and not _lies_elsewhere(settings)
    return [own, *inner] if used else inner


def _lies_elsewhere(settings: dict) -> bool:
    """Whether a data set of MMEngine reads nothing below its data_root."""
    backend = settings.get('backend_args') or {}
    if backend.get('backend', 'local') != 'local':
        return True
    prefixes = (settings.get('data_prefix') or {}).values()
    paths = [settings.get('ann_file') or os.sep, *prefixes]
    return bool(prefixes) and all(
        isinstance(path, str) and os.path.isabs(path) for path in paths)
