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

Its checkpoints in shards, a folder with a file for each rank, are refused:
torch's safe loader does not read them, and nobody could go on from them on
another number of processes.
"""
from __future__ import annotations

from typing import Any, Sequence

import torch
from mmengine._strategy import FSDPStrategy
from mmengine.registry import FUNCTIONS, STRATEGIES
from mmengine.utils import digit_version
from torch import nn
from torch.distributed.fsdp import FullStateDictConfig
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP

# torch 2.0 has this one here only.
from torch.distributed.fsdp.fully_sharded_data_parallel import (
    FullOptimStateDictConfig,
)

from .checkpoint import allow_mmengine_checkpoints

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


def _check_torch() -> None:
    """Refuse a torch whose FSDP gives no gradient, or wants a GPU."""
    needed = '2.1' if torch.cuda.is_available() else '2.4'
    if digit_version(torch.__version__) < digit_version(needed):
        where = '' if torch.cuda.is_available() else ' on a CPU'
        raise ValueError(
            f"strategy.type='AGVMFSDPStrategy' needs torch {needed} or newer"
            f'{where}, but this is torch {torch.__version__}: update torch, '
            'or leave strategy and runner_type out, to train with DDP')


@STRATEGIES.register_module()
class AGVMFSDPStrategy(FSDPStrategy):
    """MMEngine's ``FSDPStrategy`` that saves and resumes AGVM.

    Args:
        state_dict_cfg (str or dict): 'full', or the same in a dict. Defaults
            to 'full', which MMEngine's own does not.
        **kwargs: For ``FSDPStrategy``.

    Raises:
        ValueError: If ``state_dict_cfg`` is of checkpoints in shards, or with
            torch 2.0, whose FSDP gives AGVM no gradient to measure; or on a
            CPU with a torch before 2.4, whose FSDP wants a GPU.
    """

    def __init__(self,
                 *,
                 state_dict_cfg: str | dict = 'full',
                 **kwargs: Any) -> None:
        _check_torch()
        super().__init__(state_dict_cfg=state_dict_cfg, **kwargs)

    def _init_state_dict_cfg(self, state_dict_cfg: str | dict) -> None:
        super()._init_state_dict_cfg(state_dict_cfg)
        if not (self._is_full_state_dict()
                and isinstance(self.state_dict_config, FullStateDictConfig)
                and isinstance(self.optim_state_dict_config,
                               FullOptimStateDictConfig)):
            raise ValueError(
                f'strategy.state_dict_cfg={state_dict_cfg!r} must be '
                "'full', as each rank's shards alone could not be resumed; "
                "as a dict: state_dict_type='FULL_STATE_DICT', "
                "state_dict_config=dict(type='FullStateDictConfig'), "
                'optim_state_dict_config='
                "dict(type='FullOptimStateDictConfig')")
        if not torch.cuda.is_available():
            for config in (self.state_dict_config,
                           self.optim_state_dict_config):
                config.offload_to_cpu = config.rank0_only = False

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        if not torch.cuda.is_available():
            self.model_wrapper = dict(self.model_wrapper or {})
            self.model_wrapper['device_id'] = torch.device('cpu')
        return super()._wrap_model(model)

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
        managed = FSDP.optim_state_dict_to_load(
            model=self.model,
            optim=self.optim_wrapper.optimizer,
            optim_state_dict={k: state_dict[k]
                              for k in MANAGED})
        own = {k: v for k, v in state_dict.items() if k not in MANAGED}
        self.optim_wrapper.load_state_dict({**managed, **own})

    def load_checkpoint(self, filename: str, **kwargs: Any) -> dict:
        """Load a checkpoint, under torch's safe loader too.

        Args:
            filename (str): The checkpoint.
            **kwargs: For ``FSDPStrategy``.
        """
        allow_mmengine_checkpoints()
        return super().load_checkpoint(filename, **kwargs)

    def resume(self, filename: str, **kwargs: Any) -> dict:
        """Resume, and tell the optimizer wrapper its iteration.

        Args:
            filename (str): The checkpoint.
            **kwargs: For ``FSDPStrategy``.
        """
        allow_mmengine_checkpoints()
        checkpoint = super().resume(filename, **kwargs)
        self.optim_wrapper.initialize_count_status(
            self.model, checkpoint['meta']['iter'],
            self.dispatch_kwargs['max_iters'])
        return checkpoint
