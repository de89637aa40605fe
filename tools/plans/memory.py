"""What a process of a run holds in memory, without holding it.

The model is built on the meta device, its optimizer steps there, and a forward
pass of its backbone and neck there tells what autograd keeps. Nothing else is
told: heads and losses depend on what an image shows.
"""
from __future__ import annotations

import copy
from typing import Iterable, NamedTuple

import torch
from command_line.refusals import raised_by_us
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from partitions.models import build_on_meta
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef
from torch.optim import Optimizer

from agvm_mm.compat.optim_wrapper_dict import wrappers_in
from agvm_mm.engine.inherited import OF_MIXED_PRECISION
from agvm_mm.large_batch.plan import Plan
from agvm_mm.large_batch.probe.silence import silently
from agvm_mm.large_batch.settings import type_name, with_agvm, wrappers_of

from .images import Size, largest_image

OF_GPU, OF_MICRO_BATCH = 'memory of a GPU', 'of a micro-batch'
SINGLE_PRECISION = dict(
    AmpOptimWrapper='OptimWrapper', AGVMAmpOptimWrapper='AGVMOptimWrapper')


class Part(NamedTuple):
    """A part of a process's memory.

    Attributes:
        name (str): What it is.
        size (int, optional): Bytes; None if it cannot be told.
    """

    name: str
    size: int | None


def describe_memory(cfg: Config, plan: Plan) -> list[tuple[str, str]]:
    """Name and value of each line about memory.

    Args:
        cfg (Config): Of the run.
        plan (Plan): Its plan.

    Raises:
        ValueError: As AGVM's wrapper and its constructor.
    """
    with silently(), torch.random.fork_rng(devices=[]):
        try:
            model = build_on_meta(cfg).train()
        except Exception as error:
            # Whatever a model of another library raises: the plan stands.
            told = ' '.join(str(error).split())
            return [(OF_GPU, 'not known, because the model is not built: '
                     f'{type(error).__name__}: {told}')]
        parts = _parts(cfg, plan, model)
        size = largest_image(cfg)
        kept = size and _kept(model, _images(cfg, plan, size))
    sharded = 'FSDP' in type_name(cfg.get('strategy'))
    known = [part.size for part in parts if part.size is not None]
    total = f'{_mib(sum(known))} MiB' + (
        ', before FSDP shards it' if sharded else '')
    unknown = ''.join(f'; {part.name}, not known, on top' for part in parts
                      if part.size is None)
    listed = ', '.join(f'{part.name} {_mib(part.size)}' for part in parts
                       if part.size is not None)
    return [
        (OF_GPU, f'{total}: {listed}{unknown}'),
        (OF_MICRO_BATCH, _micro_batch(cfg, plan, size, kept)),
    ]


def _parts(cfg: Config, plan: Plan, model: nn.Module) -> list[Part]:
    weights = [*model.parameters(), *model.buffers()]
    trained = _bytes(p for p in model.parameters() if p.requires_grad)
    parts = [Part('weights', _bytes(weights)), Part('gradients', trained)]
    wrapping: dict = cfg.get('model_wrapper_cfg') or {}
    if (plan.world_size > 1 and 'strategy' not in cfg
            and not wrapping.get('gradient_as_bucket_view')):
        parts.append(Part("DDP's copy of them", trained))
    wrappers = wrappers_of(cfg)
    names = {type_name(child['optimizer']) for child in wrappers.values()}
    parts.append(
        Part(f"{' and '.join(sorted(names))}'s state", _state(cfg, model)))
    if with_agvm(cfg):
        halves = any(
            (child.get('agvm') or {}).get('estimator') == 'half_batch'
            for child in wrappers.values())
        parts.append(Part('AGVM', trained if halves else 0))
    return parts


def _state(cfg: Config, model: nn.Module) -> int | None:
    """Bytes of the optimizers' states after a step."""
    try:
        wrapper = build_optim_wrapper(model, _without_gpu(cfg))
        return sum(
            _after_a_step(w.optimizer) for w in wrappers_in(wrapper).values())
    except Exception as error:
        if raised_by_us(error):
            raise
        return None  # It needs numbers, or a device, that are not there.


def _without_gpu(cfg: Config) -> dict:
    """The optimizer wrapper, less its mixed precision, which asks for a GPU.

    Mixed precision changes nothing of an optimizer's state.
    """
    settings = copy.deepcopy(cfg.optim_wrapper)
    for wrapper in wrappers_of(dict(optim_wrapper=settings)).values():
        if type_name(wrapper) in SINGLE_PRECISION:
            wrapper['type'] = SINGLE_PRECISION[type_name(wrapper)]
            for key in OF_MIXED_PRECISION:
                wrapper.pop(key, None)
    return settings


def _after_a_step(optimizer: Optimizer) -> int:
    for group in optimizer.param_groups:
        for parameter in group['params']:
            if parameter.requires_grad:
                parameter.grad = torch.empty_like(parameter)
    optimizer.step()
    return _bytes(value for state in optimizer.state.values()
                  for value in state.values() if isinstance(value, Tensor))


def _images(cfg: Config, plan: Plan, size: Size) -> Tensor:
    preprocessor = cfg.model.get('data_preprocessor') or {}
    channels = len(preprocessor.get('mean') or (0, 0, 0))
    return torch.empty(plan.samples_per_gpu, channels, *size, device='meta')


def _kept(model: nn.Module, images: Tensor) -> int | None:
    """Bytes that backbone and neck keep for the backward pass."""
    others = [*model.parameters(), *model.buffers(), images]
    counted = {StorageWeakRef(t.untyped_storage()) for t in others}
    kept = 0

    def keep(tensor: Tensor) -> Tensor:
        nonlocal kept
        storage = tensor.untyped_storage()
        if StorageWeakRef(storage) not in counted:
            counted.add(StorageWeakRef(storage))
            kept += storage.nbytes()
        return tensor

    try:
        with saved_tensors_hooks(keep, lambda tensor: tensor):
            model.extract_feat(images)
    except Exception:
        return None  # No such part, or one that needs numbers.
    return kept


def _micro_batch(cfg: Config, plan: Plan, size: Size | None,
                 kept: int | None) -> str:
    count = plan.samples_per_gpu
    images = f'{count} image{"s" if count > 1 else ""}'
    if size is None:
        return f'{images}, of a size that cannot be read from the config'
    inputs = _mib(_bytes([_images(cfg, plan, size)]))
    value = f'{images} of {size.height} x {size.width}: inputs {inputs} MiB'
    if kept is None:
        return f'{value}; what the model keeps of them comes on top'
    mixed = any('Amp' in type_name(w) for w in wrappers_of(cfg).values())
    return (f'{value}; backbone and neck keep {_mib(kept)} MiB for the '
            f'backward pass{" (less in mixed precision)" if mixed else ""}; '
            'heads and losses come on top')


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def _mib(size: int) -> str:
    mib = size / 2**20
    return f'{mib:,.0f}' if mib >= 10 or not size else f'{mib:.2g}'
