"""The state dicts of FSDP: of which kind, by which keys, of what state.

It goes with :mod:`.fsdp_strategy`.
"""
from __future__ import annotations

from contextlib import contextmanager
from itertools import chain
from typing import Any, Iterator, Sequence

import torch
from mmengine.optim import OptimWrapper
from mmengine.utils import digit_version
from torch.distributed.fsdp import (
    FullStateDictConfig,
    ShardedStateDictConfig,
    StateDictType,
)
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP

# torch 2.0 has these here only.
from torch.distributed.fsdp.fully_sharded_data_parallel import (
    FullOptimStateDictConfig,
    ShardedOptimStateDictConfig,
)
from torch.optim import Optimizer

from .dropped import tell_dropped

FULL = StateDictType.FULL_STATE_DICT
SHARDED = StateDictType.SHARDED_STATE_DICT
# The classes of a kind's settings, of the model and of the optimizer.
SETTINGS = {
    FULL: (FullStateDictConfig, FullOptimStateDictConfig),
    SHARDED: (ShardedStateDictConfig, ShardedOptimStateDictConfig),
}


def check_torch() -> None:
    """Refuse a torch whose FSDP gives no gradient, or wants a GPU.

    Raises:
        ValueError: If torch is older than 2.1, or on a CPU than 2.4.
    """
    needed = '2.1' if torch.cuda.is_available() else '2.4'
    if digit_version(torch.__version__) < digit_version(needed):
        where = '' if torch.cuda.is_available() else ' on a CPU'
        raise ValueError(
            f"strategy.type='AGVMFSDPStrategy' needs torch {needed} or newer"
            f'{where}, but this is torch {torch.__version__}: update torch, '
            'or leave strategy and runner_type out, to train with DDP')


def check_settings(stated: str | dict, kind: StateDictType,
                   settings: Sequence[Any]) -> None:
    """Refuse checkpoints that could not be resumed.

    Args:
        stated (str or dict): The ``state_dict_cfg`` of a config.
        kind (StateDictType): What it is of.
        settings (Sequence[Any]): Of the model and of the optimizer.

    Raises:
        ValueError: If they are neither whole nor in shards that go together.
    """
    if tuple(map(type, settings)) != SETTINGS.get(kind):
        raise ValueError(
            f"strategy.state_dict_cfg={stated!r} must be 'full' or 'sharded', "
            "as each rank's shards alone could not be resumed; 'full' as a "
            "dict: state_dict_type='FULL_STATE_DICT', "
            "state_dict_config=dict(type='FullStateDictConfig'), "
            'optim_state_dict_config='
            "dict(type='FullOptimStateDictConfig')")


def on_a_cpu(settings: Sequence[Any]) -> None:
    """Let nothing be moved off a GPU that is not there.

    It would not be copied either: torch gathers one state of an optimizer
    after another into the same memory.

    Args:
        settings (Sequence[Any]): Of the model and of the optimizer; they are
            changed.
    """
    for config in settings:
        config.offload_to_cpu = False
        if hasattr(config, 'rank0_only'):
            config.rank0_only = False


@contextmanager
def state_dicts(model: FSDP, kind: StateDictType) -> Iterator[None]:
    """Make a model's state dicts of one kind, while this is open.

    Args:
        model (FSDP): Whatever kind it has outside.
        kind (StateDictType): ``FULL`` or ``SHARDED``.
    """
    settings = [of() for of in SETTINGS[kind]]
    if not torch.cuda.is_available():
        on_a_cpu(settings)
    with FSDP.state_dict_type(model, kind, *settings):
        yield


def make_state(optimizer: Optimizer) -> None:
    """Let an optimizer make the state that it makes with its first step.

    Args:
        optimizer (Optimizer): It steps, if it has none.
    """
    if optimizer.state:
        return
    for group in optimizer.param_groups:
        for parameter in group['params']:
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()


def by_name(state_dict: dict, layout: Sequence[Sequence[str]]) -> dict:
    """An optimizer's state by the names of the parameters, as FSDP takes it.

    Args:
        state_dict (dict): With 'state' and 'param_groups', by number, as of a
            run without FSDP. It is not changed.
        layout (Sequence[Sequence[str]]): The names, group by group.
    """
    groups = state_dict['param_groups']
    names = {
        number: name
        for group, of_group in zip(groups, layout)
        for number, name in zip(group['params'], of_group)
    }
    return dict(
        state={names[n]: state
               for n, state in state_dict['state'].items()},
        param_groups=[
            dict(group, params=list(of_group))
            for group, of_group in zip(groups, layout)
        ])


def to_load(model: FSDP, optim_wrapper: OptimWrapper, state_dict: dict,
            own: dict) -> tuple[dict, dict]:
    """FSDP's ``optim_state_dict_to_load``, for a run with other groups too.

    torch sorts the numbers of a group's parameters, so that those of other
    groups would be taken for each other, and it fails on a parameter that
    this run does not train.

    Args:
        model (FSDP): The model.
        optim_wrapper (OptimWrapper): To load the state.
        state_dict (dict): With 'state' and 'param_groups'. It is not changed.
        own (dict): What else the checkpoint has of the wrapper, as AGVM's
            'agvm'. It is not changed.

    Returns:
        tuple[dict, dict]: What to load of both.
    """
    agvm, layout = own.get('agvm'), None
    if hasattr(optim_wrapper, 'groups'):
        layout = optim_wrapper.groups.layout()
    saved = agvm['layout'] if agvm else getattr(optim_wrapper, '_plain_layout',
                                                None)
    if saved and any(isinstance(key, int) for key in state_dict['state']):
        state_dict = by_name(state_dict, saved)
    groups = state_dict['param_groups']
    if layout is not None:  # of AGVM, and all have names
        numbers = {
            name: number
            for number, name in enumerate(chain.from_iterable(layout))
        }
        tell_dropped([n for n in state_dict['state'] if n not in numbers])
        groups = [
            dict(group, params=[n for n in group['params'] if n in numbers])
            for group in groups
        ]
        state_dict = dict(
            state={n: s for n, s in state_dict['state'].items()
                   if n in numbers},
            param_groups=groups)  # yapf: disable
    loaded = FSDP.optim_state_dict_to_load(
        model=model,
        optim=optim_wrapper.optimizer,
        optim_state_dict=state_dict)
    if layout is not None:
        for group, named in zip(loaded['param_groups'], groups):
            group['params'] = [numbers[name] for name in named['params']]
    if agvm:
        layout = [list(group['params']) for group in groups]
        own = dict(own, agvm=dict(agvm, layout=layout))
    return loaded, own


def read_optimizer_state(folder: str, model: FSDP,
                         optim_wrapper: OptimWrapper, rest: dict) -> dict:
    """An optimizer's state from a folder of shards. All ranks call it.

    Args:
        folder (str): Of :func:`~agvm_mm.compat.shards.write_shards`.
        model (FSDP): Whose state dicts are in shards.
        optim_wrapper (OptimWrapper): With a state, which is read into.
        rest (dict): What of the state is no tensor, by parameter.
    """
    from .shards import read_shards  # It is heavy.

    ours = FSDP.optim_state_dict(model, optim_wrapper)['state']
    state = read_shards(folder, dict(optimizer=dict(state=ours)))
    state = state['optimizer']['state']
    return {
        name: {
            **rest.get(name, {}),
            **state.get(name, {})
        }
        for name in {**rest, **state}
    }
