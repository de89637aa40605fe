"""Trains a copy of a run's model, to see whether a batch fits."""
from __future__ import annotations

import copy
import gc
from contextlib import contextmanager
from typing import Any, Iterable, Iterator

import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from mmengine.runner import turn_on_activation_checkpointing
from torch import Tensor, nn

from agvm_mm.compat.optim_wrapper_dict import wrappers_in

from ..hook_counts import hooks_of
from ..settings import type_name, wrappers_of
from .apart import apart
from .images import LargestSamples
from .model import at_its_largest, without_files
from .out_of_memory import is_out_of_memory
from .silence import silently

UPDATES = 2  # the second has the optimizer's state from its beginning
# What batch norm says of a single sample. That is no matter of memory, and
# SyncBN, which has those of other processes too, may train on it.
ONE_VALUE = 'Expected more than 1 value per channel'
AVERAGING = ('EMAHook', 'UpdateEMAHook')
HUB = 'agvm_mm.probe'


class Rehearsal:
    """Tries batches on a model and an optimizer of its own.

    Both are built from the config, apart from those of the run. Nothing that
    is learnt here is kept: the learning rate is 0.

    Args:
        cfg (Config): Of a run.
        world_size (int): Its processes.
        device (str): 'cuda' or 'cpu'.

    Attributes:
        refusal (str, optional): What the last error said that memory was out;
            None if it was not.
        size (str): Of the largest sample, in words.
    """

    def __init__(self, cfg: Config, world_size: int, device: str) -> None:
        self._cfg = cfg
        self._world_size = world_size
        self._device = device
        self._model: nn.Module | None = None
        self._samples: LargestSamples | None = None
        self.refusal: str | None = None
        self.size = 'of a size not known'

    def fits(self, samples: int, counts: int) -> bool:
        """Whether updates with micro-batches of a size can be made.

        Args:
            samples (int): Of a micro-batch.
            counts (int): Micro-batches of an update on this process.

        Returns:
            bool: False if memory was out.

        Raises:
            Exception: Whatever else goes wrong in the run as well.
        """
        try:
            with apart(), silently(), _hub():
                self._train(samples, min(counts, 2))
        except Exception as error:
            self._model = None  # whatever the error has left in it
            if is_out_of_memory(error):
                self.refusal = str(error).strip().partition('\n')[0]
            elif ONE_VALUE not in str(error):
                raise
        finally:
            self._free()
        return self.refusal is None

    def _train(self, samples: int, counts: int) -> None:
        self.refusal = None
        if self._samples is None:
            self._samples = LargestSamples(self._cfg.train_dataloader)
            if self._samples.height:
                self.size = (f'of up to {self._samples.height} x '
                             f'{self._samples.width}')
        if self._model is None:
            self._model = self._build_model()
        model = self._model
        wrapper = self._build_wrapper(model, counts)
        beside = torch.empty(
            self._beside(model), dtype=torch.uint8, device=self._device)
        for _ in range(UPDATES * counts):
            model.train_step(self._samples.batch(samples), wrapper)
        if self._device == 'cuda':
            torch.cuda.synchronize()
        del beside

    def _build_model(self) -> nn.Module:
        settings = at_its_largest(without_files(self._cfg.model))
        model = MODELS.build(settings)
        if hasattr(model, 'init_weights'):
            model.init_weights()
        model = revert_sync_batchnorm(model).to(self._device).train()
        modules = self._cfg.get('activation_checkpointing')
        if modules is not None:
            turn_on_activation_checkpointing(model, modules)
        return model

    def _build_wrapper(self, model: nn.Module, counts: int) -> Any:
        """The run's optimizer, in a wrapper that measures nothing."""
        settings = copy.deepcopy(self._cfg.optim_wrapper)
        for child in wrappers_of(dict(optim_wrapper=settings)).values():
            child['accumulative_counts'] = counts
            if isinstance(child.get('agvm'), dict):
                child['agvm']['end'] = 0  # which switches it off
                child.pop('clip_grad_range', None)
        built = build_optim_wrapper(model, settings)
        for child in wrappers_in(built).values():
            for group in child.optimizer.param_groups:
                rate = group['lr']
                group['lr'] = (
                    torch.zeros_like(rate) if isinstance(rate, Tensor) else 0.)
            if hasattr(child, 'loss_scaler'):
                # Or the first updates could overflow, and be skipped.
                child.loss_scaler = type(child.loss_scaler)(init_scale=1.0)
        return built

    def _beside(self, model: nn.Module) -> int:
        """Bytes that the run keeps beside this model and its optimizer."""
        trained = _bytes(p for p in model.parameters() if p.requires_grad)
        size = 0
        wrapping: dict = self._cfg.get('model_wrapper_cfg') or {}
        if (self._world_size > 1
                and not wrapping.get('gradient_as_bucket_view')):
            size += trained  # DDP's buckets
        if any((wrapper.get('agvm') or {}).get('estimator') == 'half_batch'
               for wrapper in wrappers_of(self._cfg).values()):
            size += trained
        averages = [
            hook for _, hook in hooks_of(self._cfg)
            if type_name(hook) in AVERAGING
        ]
        whole = _bytes([*model.parameters(), *model.buffers()])
        return size + len(averages) * whole

    def _free(self) -> None:
        if self._model is not None:
            self._model.zero_grad(set_to_none=True)
        gc.collect()
        if self._device == 'cuda':
            torch.cuda.empty_cache()


@contextmanager
def _hub() -> Iterator[None]:
    """A message hub for what asks how far the training is."""
    hub = MessageHub.get_instance(HUB)
    hub.update_info_dict(dict(iter=0, max_iters=1, epoch=0, max_epochs=1))
    try:
        yield
    finally:
        # Or it would be the current one of who has made theirs before.
        MessageHub._instance_dict.pop(HUB)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)
