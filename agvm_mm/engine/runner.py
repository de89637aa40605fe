"""MMEngine's runners, with the total batch of their config.

Name one in a config, and every launcher and tool that builds its runner from
the registry, as mmdet's and mmseg's own ``tools/train.py`` and ``mim train``
do, keeps the total batch on the processes at hand::

    runner_type = 'TotalBatchRunner'  # or 'TotalBatchFlexibleRunner'
    total_batch_size = 512
"""
from __future__ import annotations

import copy
import functools
import logging
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.dist import get_world_size
from mmengine.logging import print_log
from mmengine.registry import RUNNERS
from mmengine.runner import FlexibleRunner, Runner
from torch import nn

from agvm_mm.compat.current import make_current
from agvm_mm.compat.flexible_runner import CheckpointsAsRunner
from agvm_mm.compat.prepared import prepared
from agvm_mm.large_batch.doubts import warm_up_doubts
from agvm_mm.large_batch.empty_dataset import explain_empty
from agvm_mm.large_batch.launch import resolve_here, split_by_hand
from agvm_mm.large_batch.micro_batches import described
from agvm_mm.large_batch.settings import (
    counts_updates,
    finds_samples,
    type_name,
    with_agvm,
    wrappers_of,
)
from agvm_mm.recovery.resumable import check_resume
from agvm_mm.recovery.resuming import (
    settle_resume,
    warn_of_newer,
    weights_for_tests,
)

from .unbuilt import UnbuiltRunner


def check_strategy(cfg: Config) -> None:
    """Refuse MMEngine's FSDP strategy for a run with AGVM.

    Args:
        cfg (Config): Of the run.

    Raises:
        ValueError: If it is that strategy, which drops AGVM's state from its
            checkpoints, in shards or not.
    """
    strategy = cfg.get('strategy')
    if (with_agvm(cfg) and isinstance(strategy, dict)
            and type_name(strategy) == 'FSDPStrategy'):
        raise ValueError(
            "strategy.type='FSDPStrategy' saves nothing of AGVM and cannot "
            "resume it: it must be 'AGVMFSDPStrategy', with "
            "state_dict_cfg='full' or 'sharded'")


class _TotalBatchMixin:
    """Runs the config's ``total_batch_size``, for a runner of MMEngine.

    ``from_cfg`` resolves the config (see :func:`~agvm_mm.large_batch.resolve`)
    for the number of processes that the launcher states: its updates, their
    learning rates and their samples are those of the config, whatever that
    number is. ``train_dataloader.batch_size``, or ``max_samples_per_gpu`` if
    it is set, is the most that a process takes at once; where that is 'auto',
    it is found when the training starts, before the runner is built.

    A config that states ``optim_wrapper.accumulative_counts`` is split by hand
    and runs as it stands, with a warning if that is another total.

    What cannot be run is a ValueError of :meth:`train`, so that the config of
    a training serves to test and to validate on any number of processes.
    """

    # What the base class takes a config without a launcher for.
    _default_launcher: str | None = 'none'
    _refusal: ValueError | None = None

    @classmethod
    def from_cfg(cls, cfg: Config | dict) -> Any:
        """Build a runner from a config.

        Args:
            cfg (Config or dict): As for the base class. It is not changed.

        Returns:
            Runner or UnbuiltRunner: The latter with
            ``max_samples_per_gpu='auto'``.
        """
        cfg = copy.deepcopy(cfg if isinstance(cfg, Config) else Config(cfg))
        for wrapper in wrappers_of(cfg).values():
            # mmdet's own --amp puts it in the place of AGVM's.
            if 'agvm' in wrapper and type_name(wrapper) == 'AmpOptimWrapper':
                wrapper['type'] = 'AGVMAmpOptimWrapper'
        launcher = cfg.get('launcher', cls._default_launcher)
        if finds_samples(cfg):
            return UnbuiltRunner(
                functools.partial(cls._build, launcher=launcher), cfg,
                launcher)
        return cls._build(cfg, launcher)

    @classmethod
    def _build(cls, cfg: Config, launcher: str | None) -> Any:
        refusal = None
        try:
            cfg = resolve_here(cfg, launcher)
        except ValueError as error:
            refusal = error
        hooks = cfg.get('custom_hooks') or []
        if split_by_hand(cfg) and 'TotalBatchSizeHook' not in map(
                type_name, hooks):
            cfg.custom_hooks = [*hooks, ConfigDict(type='TotalBatchSizeHook')]
        runner = super().from_cfg(cfg)  # type: ignore[misc]
        runner._refusal = refusal
        return runner

    def train(self) -> nn.Module:
        """Train.

        Returns:
            nn.Module: The model.

        Raises:
            ValueError: If the total batch cannot be run, or not by this
                strategy.
        """
        if self._refusal is not None:
            raise self._refusal
        make_current(self)  # type: ignore[arg-type]
        cfg: Config = self.cfg  # type: ignore[attr-defined]
        check_strategy(cfg)
        if 'total_batch_size' in cfg and not split_by_hand(cfg):
            print_log(_split(cfg), 'current')
        return super().train()  # type: ignore[misc]

    def build_train_loop(self, loop: Any) -> Any:
        """The base class's; what misses an image or a rate is told."""
        with explain_empty('train_dataloader'):
            built = super().build_train_loop(loop)  # type: ignore[misc]
        if counts_updates(self.cfg):  # type: ignore[attr-defined]
            for doubt in warm_up_doubts(
                    self.cfg,  # type: ignore[attr-defined]
                    built.max_iters,
                    built.max_epochs):
                print_log(doubt, 'current', logging.WARNING)
        return built

    def build_val_loop(self, loop: Any) -> Any:
        """The base class's; a dataset without an image is told."""
        with explain_empty('val_dataloader'):
            return super().build_val_loop(loop)  # type: ignore[misc]

    def build_test_loop(self, loop: Any) -> Any:
        """The base class's; a dataset without an image is told."""
        with explain_empty('test_dataloader'):
            return super().build_test_loop(loop)  # type: ignore[misc]

    def load_or_resume(self) -> None:
        """The base class's, from the newest checkpoint that is whole.

        Raises:
            ValueError: If there were checkpoints and none is whole, or if a
                rank does not see the newest.
        """
        warn_of_newer(self)
        settle_resume(self)
        with weights_for_tests(self):
            super().load_or_resume()  # type: ignore[misc]

    def load_checkpoint(self, filename: str, *args: Any,
                        **kwargs: Any) -> Any:
        """Load a checkpoint, under torch's safe loader too.

        Args:
            filename (str): A file or an address.
            *args: For the base class.
            **kwargs: For the base class.

        Raises:
            ValueError: If the file cannot be loaded.
        """
        filename = prepared(filename)
        return super().load_checkpoint(  # type: ignore[misc]
            filename, *args, **kwargs)

    def resume(self,
               filename: str,
               resume_optimizer: bool = True,
               *args: Any,
               **kwargs: Any) -> None:
        """Go on from a checkpoint, under torch's safe loader too.

        Args:
            filename (str): A file or an address.
            resume_optimizer (bool): Whether with the optimizer's state.
                Defaults to True.
            *args: For the base class.
            **kwargs: For the base class.

        Raises:
            ValueError: If the file cannot be loaded, holds weights alone, or
                is of a run with AGVM and this run has none.
        """
        filename = prepared(filename)
        cfg: Config = self.cfg  # type: ignore[attr-defined]
        if resume_optimizer and cfg.get('optim_wrapper'):
            check_resume(filename, with_agvm(cfg))
        super().resume(  # type: ignore[misc]
            filename, resume_optimizer, *args, **kwargs)


def _split(cfg: Config) -> str:
    """How a resolved config splits its total batch."""
    total = cfg.total_batch_size
    dealt = described(total, get_world_size(), cfg.train_dataloader.batch_size)
    return f'total_batch_size={total}: {dealt}'


@RUNNERS.register_module()
class TotalBatchRunner(_TotalBatchMixin, Runner):
    """MMEngine's ``Runner`` with the total batch of its config."""

    __doc__ = _TotalBatchMixin.__doc__


@RUNNERS.register_module()
class TotalBatchFlexibleRunner(_TotalBatchMixin, CheckpointsAsRunner,
                               FlexibleRunner):
    """MMEngine's ``FlexibleRunner`` with the total batch of its config."""

    __doc__ = _TotalBatchMixin.__doc__
    _default_launcher = None
