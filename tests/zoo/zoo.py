"""Every model config inside of the mmdet and mmseg wheels, and its check."""
from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections import Counter
from pathlib import Path
from typing import Iterator, NamedTuple

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.utils import get_installed_path
from partitions.models import build_on_meta

from agvm_mm import partition_parameters
from agvm_mm.algorithm.partition import assign_modules

PACKAGES = ('mmdet', 'mmseg')
# Models without a backbone: AGVM's error names their modules, and a user sets
# agvm.anchor.
ANCHORS = {'/san/': 'image_encoder'}
PASSED, NOT_BUILT, FAILED = 'passed', 'not built', 'failed'
NO_MODEL = 'no model'  # a list of categories, test-time augmentation


class Outcome(NamedTuple):
    """What came of one config.

    Attributes:
        config (str): Its name, from the package on.
        status (str): 'passed'; 'no model'; 'not built', if the library itself
            cannot build the model here; or 'failed', if AGVM cannot take it.
        reason (str): Why it did not pass.
        anchor (str): The anchor, where it passed.
    """
    config: str
    status: str
    reason: str = ''
    anchor: str = ''


def configs() -> Iterator[tuple[str, Path]]:
    """Name and path of every config."""
    for package in PACKAGES:
        root = Path(get_installed_path(package)) / '.mim/configs'
        for path in sorted(root.rglob('*.py')):
            if '_base_' not in path.parts and '/common/' not in str(path):
                yield f'{package}/{path.relative_to(root)}', path


def check(name: str, path: Path) -> Outcome:
    """Build a config's model and its optimizer, with AGVM and without.

    Args:
        name (str): From :func:`configs`.
        path (Path): Of the config.
    """
    warnings.simplefilter('ignore')
    MMLogger.get_instance('zoo', log_level=logging.ERROR)
    if not dist.is_initialized():  # SyncBatchNorm asks for its size.
        dist.init_process_group(
            'gloo', store=dist.HashStore(), rank=0, world_size=1)
    try:
        # A distilled model names its teacher's config from here on.
        with contextlib.chdir(path.parents[len(Path(name).parts) - 1]):
            cfg = Config.fromfile(path)
            if 'model' not in cfg:
                return Outcome(name, NO_MODEL)
            cfg.model.pop('teacher_ckpt', None)
            model = build_on_meta(cfg)
    except Exception as error:
        return Outcome(name, NOT_BUILT, _short(error))
    anchor = next((a for family, a in ANCHORS.items() if family in name),
                  'backbone')
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return Outcome(name, PASSED, anchor=_compare(cfg, model, anchor))
    except Exception as error:
        return Outcome(name, FAILED, _short(error))


def _compare(cfg: Config, model: torch.nn.Module, anchor: str) -> str:
    """AGVM's groups hold each parameter with the settings it had.

    Returns:
        str: The anchor.
    """
    trainable = [n for n, p in model.named_parameters() if p.requires_grad]
    partition = partition_parameters(model)
    covered = [name for names in partition.values() for name in names]
    assert sorted(covered) == sorted(trainable), 'the partition has gaps'
    tensors = Counter(assign_modules(model).values())
    assert min(tensors.values()) > 1, f'a module of one tensor: {tensors}'

    plain = dict(cfg.optim_wrapper)
    # AMP's wrapper asks for a GPU; its groups are the plain one's.
    plain['type'] = 'OptimWrapper'
    plain.pop('loss_scale', None)
    plain.pop('dtype', None)
    ours = dict(plain)
    base = ours.pop('constructor', 'DefaultOptimWrapperConstructor')
    ours.update(
        type='AGVMOptimWrapper',
        constructor='AGVMOptimWrapperConstructor',
        agvm=dict(begin=0, anchor=anchor, base_constructor=base))
    wrapper = build_optim_wrapper(model, ours)
    expected = _settings(build_optim_wrapper(model, plain).optimizer)
    found = _settings(wrapper.optimizer)
    for name, parameter in model.named_parameters():
        assert found.get(parameter) == expected.get(parameter), name
    modulator = wrapper.modulator
    return modulator.modules[modulator.anchor]


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
    lines = str(error).strip().splitlines() or ['']
    return f'{type(error).__name__}: {lines[0]}'[:300]
