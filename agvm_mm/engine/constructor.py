"""Builds an optimizer whose parameter groups are AGVM's modules."""
from __future__ import annotations

import inspect
from typing import Any

from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP

from agvm_mm.algorithm.partition import named_parameters, partition_parameters

from .options import checked_options


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class AGVMOptimWrapperConstructor:
    """Builds an AGVM optimizer wrapper.

    The optimizer is built by the user's own constructor, so that
    ``paramwise_cfg`` means what it always means. Then its parameters are
    grouped anew, one group for each module and each set of equal
    hyper-parameters, and each group carries its module's name in
    ``group['module']``. MMEngine makes one group per parameter as soon as a
    ``paramwise_cfg`` is given, which defeats fused and foreach optimizers;
    these groups do not.

    Parameters that need no gradient are left out, as MMEngine leaves them out
    itself where a ``paramwise_cfg`` is given.

    Args:
        optim_wrapper_cfg (dict): The ``optim_wrapper`` of a config. Of its
            ``agvm``, ``modules`` (see
            :func:`~agvm_mm.algorithm.partition.partition_parameters`) and
            ``base_constructor`` (the registered name of the user's own
            constructor, by default 'DefaultOptimWrapperConstructor') are for
            this class, and the others for the wrapper.
        paramwise_cfg (dict, optional): For the user's own constructor.
            Defaults to None.

    Raises:
        ValueError: If an option of ``agvm`` is missing or wrong, or
            ``base_constructor`` is not registered; on call, whatever the
            partition and the wrapper refuse.
    """

    def __init__(self,
                 optim_wrapper_cfg: dict,
                 paramwise_cfg: dict | None = None) -> None:
        self.optim_wrapper_cfg = dict(optim_wrapper_cfg)
        self.paramwise_cfg = paramwise_cfg
        options = checked_options(self.optim_wrapper_cfg.get('agvm'))
        optimizer = self.optim_wrapper_cfg.get('optimizer')
        if not isinstance(optimizer, dict):
            raise ValueError(
                'optim_wrapper.optimizer must be a dict, as '
                f"optimizer=dict(type='SGD', lr=0.02), but got {optimizer!r}")
        wrapper = self.optim_wrapper_cfg.setdefault('type', 'AGVMOptimWrapper')
        if not _takes_agvm(wrapper):
            raise ValueError(
                f'optim_wrapper.type={wrapper!r} takes no agvm: set it to '
                "'AGVMOptimWrapper' or 'AGVMAmpOptimWrapper'")
        self.modules = options['modules']
        self.base_constructor = options['base_constructor']
        if not _is_registered(self.base_constructor):
            raise ValueError(
                f'agvm.base_constructor={self.base_constructor!r} is not a '
                'registered optimizer wrapper constructor; list the module '
                'that registers it in custom_imports')

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the wrapper for a model, which DDP or FSDP may wrap."""
        sharded = model if isinstance(model, FSDP) else None
        if sharded is not None and not sharded._use_orig_params:
            raise ValueError(
                'AGVM finds modules by the names of their parameters, which '
                'FSDP hides: set use_orig_params=True in its model_wrapper')
        if is_model_wrapper(model):
            model = model.module
        partition = partition_parameters(model, self.modules)
        optimizer = OPTIM_WRAPPER_CONSTRUCTORS.build(
            dict(
                type=self.base_constructor,
                optim_wrapper_cfg=dict(
                    type='OptimWrapper',
                    optimizer=self.optim_wrapper_cfg['optimizer']),
                paramwise_cfg=self.paramwise_cfg))(model).optimizer

        name_of = {p: name for name, p in named_parameters(model)}
        # A checkpoint of a run without AGVM has its optimizer's state in this
        # order, and no names.
        plain_layout = [[name_of[p] for p in group['params']]
                        for group in optimizer.param_groups]
        groups = _regroup(optimizer.param_groups, optimizer.defaults, name_of,
                          partition)
        optimizer.param_groups.clear()
        for group in groups:
            optimizer.add_param_group(group)

        cfg = {
            k: v
            for k, v in self.optim_wrapper_cfg.items() if k != 'optimizer'
        }
        return OPTIM_WRAPPERS.build(
            cfg,
            default_args=dict(
                optimizer=optimizer,
                plain_layout=plain_layout,
                sharded_model=sharded))


def _takes_agvm(wrapper: str | type) -> bool:
    if isinstance(wrapper, str):
        with OPTIM_WRAPPERS.switch_scope_and_registry(None) as registry:
            found = registry.get(wrapper)
        if found is None:
            return True  # build() tells that nobody has registered it.
        wrapper = found
    return 'agvm' in inspect.signature(wrapper).parameters


def _is_registered(constructor: Any) -> bool:
    # In the config's default scope, where build() looks too.
    with OPTIM_WRAPPER_CONSTRUCTORS.switch_scope_and_registry(
            None) as registry:
        return isinstance(constructor, str) and (registry.get(constructor)
                                                 is not None)


def _regroup(groups: list[dict], options: dict, name_of: dict[nn.Parameter,
                                                              str],
             partition: dict[str, list[str]]) -> list[dict]:
    """Merge groups of one module that have equal options of the optimizer.

    Only the optimizer's own options count: MMEngine's constructors leave
    others in the groups, such as ``decay_mult``, which nothing reads again.
    """
    module_of = {
        name: module
        for module, names in partition.items()
        for name in names
    }
    tensors: dict[str, tuple[nn.Parameter, dict]] = {
        name_of[p]: (p, {
            k: group[k]
            for k in options if k in group
        })
        for group in groups
        for p in group['params']
    }
    merged: dict[str, list[dict]] = {module: [] for module in partition}
    # In the model's order, whatever the order of the constructor's groups.
    for name in name_of.values():
        if name not in module_of or name not in tensors:
            continue
        tensor, settings = tensors[name]
        siblings = merged[module_of[name]]
        for group in siblings:
            if group['settings'] == settings:
                break
        else:
            group = dict(settings=settings, params=[], param_names=[])
            siblings.append(group)
        group['params'].append(tensor)
        group['param_names'].append(name)
    return [
        dict(_own(group.pop('settings')), module=module, **group)
        for module, siblings in merged.items() for group in siblings
    ]


def _own(settings: dict) -> dict:
    """Settings that share no tensor with another group's."""
    # A learning rate that is a tensor is scaled in place, group by group.
    return {
        k: v.clone() if isinstance(v, Tensor) else v
        for k, v in settings.items()
    }
