"""MMEngine's FSDP strategy, with AGVM's state and what it needs to resume.

Use it in place of ``FSDPStrategy``::

    runner_type = 'FlexibleRunner'
    strategy = dict(
        type='AGVMFSDPStrategy',
        state_dict_cfg='full',
        model_wrapper=dict(
            auto_wrap_policy=dict(
                type='wrap_classes', classes=['SwinBlock'])))

MMEngine 0.10 needs four helps:

1. it hands FSDP the arguments of ``optim_state_dict_to_load`` in the order of
   torch 2.0, which torch 2.1 changed, so no run resumes there;
2. FSDP drops from an optimizer's state whatever is no optimizer's: AGVM's
   state, and the loss scaler's;
3. it tells a resumed optimizer wrapper its iteration only under accumulation;
4. it names a CUDA device, and moves states off it, also where there is none.

With ``state_dict_cfg='sharded'`` a checkpoint is a folder in which each rank
writes its shards, and which any number of ranks can read: :mod:`.shards`.
MMEngine's own, ``'local'``, is refused: torch's safe loader does not read it,
and nobody could go on from it on another number of processes. A
``FSDPStrategy`` that resumes what it saved, on a CPU too, would let this go.
"""
from __future__ import annotations

from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any, Callable, ContextManager, Sequence

import mmengine
import torch
from mmengine._strategy import FSDPStrategy, SingleDeviceStrategy
from mmengine.registry import FUNCTIONS, STRATEGIES
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP

from .checkpoint import allow_mmengine_checkpoints, load
from .fsdp_state import (
    FULL,
    SETTINGS,
    SHARDED,
    check_settings,
    check_torch,
    make_state,
    on_a_cpu,
    read_optimizer_state,
    state_dicts,
    to_load,
)

# What FSDP itself makes of an optimizer's state.
MANAGED = ('state', 'param_groups')


@FUNCTIONS.register_module()
def wrap_classes(module: nn.Module, recurse: bool, nonwrapped_numel: int,
                 classes: Sequence[str]) -> bool:
    """An FSDP ``auto_wrap_policy`` that a config can state in strings.

    FSDP gathers a unit's parameters when its ``forward`` is called. mmdet and
    mmseg call their heads' ``loss`` instead, so a policy by size, which wraps
    any large module, fails there; wrap a backbone's blocks.

    Args:
        module (nn.Module): Of the model.
        recurse (bool): Whether the question is to look inside of it.
        nonwrapped_numel (int): Not used.
        classes (Sequence[str]): Names of the classes to wrap, as
            ``['SwinBlock']``.

    Returns:
        bool: Whether to look inside of, or to wrap, the module.
    """
    return recurse or type(module).__name__ in classes


@STRATEGIES.register_module()
class AGVMFSDPStrategy(FSDPStrategy):
    """MMEngine's ``FSDPStrategy`` that saves and resumes AGVM.

    Args:
        state_dict_cfg (str or dict): 'full', one file that the first rank
            writes, or 'sharded', a folder; or the same in a dict. Defaults to
            'full', which MMEngine's own does not.
        **kwargs: For ``FSDPStrategy``.

    Raises:
        ValueError: If ``state_dict_cfg`` is another; with torch 2.0, whose
            FSDP gives AGVM no gradient to measure; or on a CPU with a torch
            before 2.4, whose FSDP wants a GPU.
    """

    _folder: str | None = None  # of shards, that was loaded last

    def __init__(self,
                 *,
                 state_dict_cfg: str | dict = 'full',
                 **kwargs: Any) -> None:
        check_torch()
        super().__init__(state_dict_cfg=state_dict_cfg, **kwargs)

    def _init_state_dict_cfg(self, state_dict_cfg: str | dict) -> None:
        # MMEngine does not know it, nor the classes of its settings.
        sharded = dict(
            zip(('state_dict_config', 'optim_state_dict_config'),
                (of() for of in SETTINGS[SHARDED])),
            state_dict_type=SHARDED)
        super()._init_state_dict_cfg(
            sharded if state_dict_cfg == 'sharded' else state_dict_cfg)
        settings = self.state_dict_config, self.optim_state_dict_config
        check_settings(state_dict_cfg, self.state_dict_type, settings)
        if not torch.cuda.is_available():
            on_a_cpu(settings)

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        if not torch.cuda.is_available():
            self.model_wrapper = dict(self.model_wrapper or {})
            self.model_wrapper['device_id'] = torch.device('cpu')
        return super()._wrap_model(model)

    def save_checkpoint(self, filename: str, **settings: Any) -> None:
        """Save a file, or a folder of shards. All ranks call it.

        Args:
            filename (str): Of the file or folder.
            **settings: As for ``FSDPStrategy``.

        Raises:
            OSError: If it cannot be written.
        """
        if self._is_full_state_dict():
            super().save_checkpoint(filename, **settings)
        else:
            from .shards import write_shards  # It is heavy.

            write_shards(filename, self._checkpoint(**settings))

    def _checkpoint(self,
                    save_optimizer: bool = True,
                    save_param_scheduler: bool = True,
                    extra_ckpt: dict | None = None,
                    callback: Callable | None = None) -> dict:
        """What MMEngine's own would put into a file."""
        checkpoint = dict(extra_ckpt or {}, state_dict=self.model_state_dict())
        if save_optimizer and hasattr(self, 'optim_wrapper'):
            checkpoint['optimizer'] = self.optim_state_dict()
        if save_param_scheduler and hasattr(self, 'param_schedulers'):
            checkpoint['param_schedulers'] = self.scheduler_state_dict()
        checkpoint['meta'] = dict(
            checkpoint.get('meta', {}),
            seed=self.seed,
            time=f'{datetime.now():%Y%m%d_%H%M%S}',
            mmengine=mmengine.__version__)
        if callback is not None:
            callback(checkpoint)
        return checkpoint

    def optim_state_dict(self) -> dict:
        """The optimizer's state as FSDP gathers it, and AGVM's."""
        state_dict = FSDP.optim_state_dict(self.model, self.optim_wrapper)
        own = self.optim_wrapper.state_dict()
        state_dict.update({k: v for k, v in own.items() if k not in MANAGED})
        return state_dict

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Load what :meth:`optim_state_dict` returned.

        Args:
            state_dict (dict): Of the run to resume.
        """
        managed = {k: state_dict[k] for k in MANAGED}
        own = {k: v for k, v in state_dict.items() if k not in MANAGED}
        with self._as_saved():
            if self._folder is not None:
                managed['state'] = read_optimizer_state(
                    self._folder, self.model, self.optim_wrapper,
                    managed['state'])
            managed, own = to_load(self.model, self.optim_wrapper, managed,
                                   own)
        self.optim_wrapper.load_state_dict({**managed, **own})

    def load_checkpoint(self,
                        filename: str,
                        *,
                        strict: bool = False,
                        callback: Callable | None = None,
                        **kwargs: Any) -> dict:
        """Load a checkpoint, under torch's safe loader too.

        Args:
            filename (str): A file, or a folder of shards, of any number of
                ranks; whatever this run's own are.
            strict (bool): As for ``FSDPStrategy``.
            callback (Callable, optional): Likewise.
            **kwargs: Likewise.
        """
        allow_mmengine_checkpoints()
        self._folder = filename if Path(filename).is_dir() else None
        with self._as_saved():
            if self._folder is None:
                # FSDPStrategy would look for this rank's file in a folder.
                return SingleDeviceStrategy.load_checkpoint(
                    self,
                    filename,
                    strict=strict,
                    callback=callback,
                    **kwargs)
            from .shards import read_shards

            checkpoint = load(filename)
            held = dict(state_dict=self.model.state_dict())
            checkpoint['state_dict'].update(
                read_shards(filename, held)['state_dict'])
            if callback is not None:
                callback(checkpoint)
            self.load_model_state_dict(
                checkpoint.pop('state_dict'), strict=strict)
        return checkpoint

    def resume(self, filename: str, **kwargs: Any) -> dict:
        """Resume, and tell the optimizer wrapper its iteration.

        Args:
            filename (str): The checkpoint.
            **kwargs: For ``FSDPStrategy``.
        """
        if Path(filename).is_dir():
            # It steps, so the weights are read afterwards.
            make_state(self.optim_wrapper.optimizer)
        checkpoint = super().resume(filename, **kwargs)
        self.optim_wrapper.initialize_count_status(
            self.model, checkpoint['meta']['iter'],
            self.dispatch_kwargs['max_iters'])
        return checkpoint

    def _as_saved(self) -> ContextManager[None]:
        """State dicts are as in what is loaded, whatever this run saves."""
        kind = FULL if self._folder is None else SHARDED
        if kind == self.state_dict_type:
            return nullcontext()
        return state_dicts(self.model, kind)
