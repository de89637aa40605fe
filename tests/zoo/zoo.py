"""Every model config inside of OpenMMLab's wheels, and its check."""
from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
import sys
import types
import warnings
from pathlib import Path
from typing import Iterator, NamedTuple

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from partitions.models import build_model

from agvm_mm import partition_parameters
from agvm_mm.algorithm.modulator import find_anchor
from agvm_mm.algorithm.partition import assign_modules

from .hub import use_hub

PASSED, NOT_BUILT, FAILED = 'passed', 'not built', 'failed'
REFUSED = 'refused'  # and taken with the anchor that AGVM's error names
NO_MODEL = 'no model'  # a list of categories, test-time augmentation
FROZEN = 'its backbone is frozen'
# Single parameters that feed no head of a known name: VindLU's temperature.
ALONE = {'temp'}


class Outcome(NamedTuple):
    """What came of one config.

    Attributes:
        config (str): Its name, from the package on.
        status (str): 'passed'; 'refused', if AGVM finds no anchor; 'no model';
            'not built', if the library itself cannot build the model here; or
            'failed', if AGVM cannot take it.
        reason (str): Why it did not pass.
        anchor (str): The anchor, where it passed.
    """
    config: str
    status: str
    reason: str = ''
    anchor: str = ''


def folder_of(host: str) -> Path | None:
    """Where a package has its configs; None if it is not installed."""
    found = importlib.util.find_spec(host)
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / '.mim/configs'


def configs(host: str) -> Iterator[tuple[str, Path]]:
    """Name and path of every config of a package."""
    root = folder_of(host)
    assert root is not None
    for path in sorted(root.rglob('*.py')):
        if '_base_' not in path.parts and '/common/' not in str(path):
            yield f'{host}/{path.relative_to(root)}', path


def prepare(hub: Path, work_dir: Path) -> None:
    """Make a process ready for :func:`check`.

    Args:
        hub (Path): See :func:`~tests.zoo.hub.write_hub`.
        work_dir (Path): Where it works, and where the package's own configs
            are in ``configs``.
    """
    os.chdir(work_dir)
    torch.set_num_threads(1)
    warnings.simplefilter('ignore')
    MMLogger.get_instance('zoo', log_level=logging.ERROR)
    use_hub(hub)
    complete_mmaction()


def complete_mmaction() -> None:
    """mmaction2 1.2's wheel lacks a module that it imports: here is one."""
    root = folder_of('mmaction')
    if root is None or (root.parents[1] / 'models/localizers/drn').is_dir():
        return
    name = 'mmaction.models.localizers.drn'
    sys.modules[name] = types.ModuleType(name)
    sys.modules[f'{name}.drn'] = module = types.ModuleType(f'{name}.drn')
    module.DRN = None  # type: ignore[attr-defined]


def check(name: str, path: Path) -> Outcome:
    """Build a config's model and its optimizer, with AGVM and without.

    Args:
        name (str): From :func:`configs`.
        path (Path): Of the config.
    """
    try:
        cfg = Config.fromfile(path)
        if 'model' not in cfg:
            return Outcome(name, NO_MODEL)
        cfg.setdefault('default_scope', name.split('/')[0])
        if isinstance(cfg.model, dict):
            cfg.model.pop('teacher_ckpt', None)
        with contextlib.redirect_stdout(io.StringIO()):
            model = build_model(cfg)
    except Exception as error:
        return Outcome(name, NOT_BUILT, _short(error))
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return _compare(name, cfg, model)
    except Exception as error:
        return Outcome(name, FAILED, _short(error))


def _compare(name: str, cfg: Config, model: torch.nn.Module) -> Outcome:
    """AGVM's groups hold each parameter with the settings it had."""
    trainable = [n for n, p in model.named_parameters() if p.requires_grad]
    partition = partition_parameters(model)
    covered = [n for names in partition.values() for n in names]
    assert sorted(covered) == sorted(trainable), 'the partition has gaps'
    alone = set(partition) & set(trainable) - ALONE
    assert not alone, f'modules of a single parameter: {alone}'

    # What is only for inference has no optimizer of its own.
    plain = dict(
        cfg.get('optim_wrapper',
                dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9))))
    # AMP's wrapper asks for a GPU; its groups are the plain one's.
    plain['type'] = 'OptimWrapper'
    plain.pop('loss_scale', None)
    plain.pop('dtype', None)
    ours = dict(plain)
    base = ours.pop('constructor', 'DefaultOptimWrapperConstructor')
    agvm = dict(begin=0, base_constructor=base)
    ours.update(
        type='AGVMOptimWrapper',
        constructor='AGVMOptimWrapperConstructor',
        agvm=agvm)
    refusal = ''
    try:
        wrapper = build_optim_wrapper(model, ours)
    except ValueError as error:
        if 'agvm.anchor' not in str(error):
            raise
        refusal = str(error)
    if refusal:
        agvm['anchor'] = next(iter(partition))
        wrapper = build_optim_wrapper(model, ours)
        refusal = _reason_of(refusal, model)
    expected = _settings(build_optim_wrapper(model, plain).optimizer)
    found = _settings(wrapper.optimizer)
    for parameter_name, parameter in model.named_parameters():
        assert found.get(parameter) == expected.get(parameter), parameter_name
    return Outcome(name, REFUSED if refusal else PASSED, refusal,
                   wrapper.modulator.anchor)


def _reason_of(refusal: str, model: torch.nn.Module) -> str:
    """Why there is no anchor, as the whole model tells it, frozen or not."""
    modules = list(dict.fromkeys(assign_modules(model).values()))
    try:
        find_anchor('backbone', modules)
    except ValueError:
        return refusal
    return FROZEN


def _settings(optimizer: torch.optim.Optimizer) -> dict:
    """Whatever a group says of a parameter, by parameter; frozen ones too."""
    return {
        parameter: {
            key: value
            for key, value in group.items()
            if key not in ('params', 'module', 'param_names')
        }
        for group in optimizer.param_groups
        for parameter in group['params']
    }


def _short(error: Exception) -> str:
    words = ' '.join(str(error).split())
    return f'{type(error).__name__}: {words}'[:300]
