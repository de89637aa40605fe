"""Builds an optimizer whose parameter groups are AGVM's modules."""
from __future__ import annotations

import inspect
import logging
from typing import Any, Mapping

from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.registry import (
    OPTIM_WRAPPER_CONSTRUCTORS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    Registry,
)
from torch import nn
from torch.optim import Optimizer

from agvm_mm.algorithm.partition import (
    assign_modules,
    named_parameters,
    partition_parameters,
)
from agvm_mm.large_batch.settings import optimizer_of
from agvm_mm.measuring.replicas import is_sharded
from agvm_mm.measuring.treatment import check_optimizer

from .inherited import (
    check_optimizer_keys,
    check_paramwise_keys,
    check_wrapper_keys,
)
from .options import checked_options
from .regroup import rebuilt, regrouped

# Of an anchor's numbers, below which those that train stand for little of it.
FEW = 0.01


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class AGVMOptimWrapperConstructor:
    """Builds an AGVM optimizer wrapper.

    The optimizer is built by the user's own constructor, so that
    ``paramwise_cfg`` means what it always means. Then its parameters are
    grouped anew, one group for each module and each set of equal
    hyper-parameters, each group carries its module's name in
    ``group['module']``, and the optimizer is built once more with these
    groups (see :func:`~agvm_mm.engine.regroup.rebuilt`). MMEngine makes one
    group per parameter as soon as a ``paramwise_cfg`` is given, which defeats
    fused and foreach optimizers; these groups do not.

    Groups lose nothing: whatever key the user's own constructor leaves in one
    is in the group of the same parameter, and frozen parameters that it keeps
    (MMEngine's does, without a ``paramwise_cfg``) stay in the optimizer, to be
    unfrozen later.

    Args:
        optim_wrapper_cfg (dict): The ``optim_wrapper`` of a config. Of its
            ``agvm``, ``base_constructor`` (the name, or the class, of the
            user's own constructor, by default
            'DefaultOptimWrapperConstructor') is for this class, ``modules``
            (see :func:`~agvm_mm.algorithm.partition.partition_parameters`)
            for it and the wrapper, and the others for the wrapper.
        paramwise_cfg (dict, optional): For the user's own constructor.
            Defaults to None.

    Raises:
        ValueError: If an option of ``agvm`` is missing or wrong, or
            ``base_constructor`` is not registered; on call, whatever the
            partition and the wrapper refuse, and an optimizer that AGVM cannot
            work with.
    """

    def __init__(self,
                 optim_wrapper_cfg: dict,
                 paramwise_cfg: dict | None = None) -> None:
        self.optim_wrapper_cfg = dict(optim_wrapper_cfg)
        self.paramwise_cfg = paramwise_cfg
        wrapper = self.optim_wrapper_cfg.setdefault('type', 'AGVMOptimWrapper')
        wrapper_class = _class_of(OPTIM_WRAPPERS, wrapper)
        check_wrapper_keys(wrapper_class, self.optim_wrapper_cfg)
        options = checked_options(self.optim_wrapper_cfg.get('agvm'))
        optimizer = optimizer_of(self.optim_wrapper_cfg)
        kind = _class_of(OPTIMIZERS, optimizer.get('type'))
        if kind is None:
            raise ValueError(
                f'optim_wrapper.optimizer.type={optimizer.get("type")!r} is '
                'not a registered optimizer; list the module that registers '
                'it in custom_imports, or install its library')
        if not _takes_agvm(wrapper_class):
            raise ValueError(
                f'optim_wrapper.type={wrapper!r} takes no agvm: set it to '
                "'AGVMOptimWrapper' or 'AGVMAmpOptimWrapper'")
        self.modules = options['modules']
        self.base_constructor = options['base_constructor']
        base = _class_of(OPTIM_WRAPPER_CONSTRUCTORS, self.base_constructor)
        if base is None:
            raise ValueError(
                f'agvm.base_constructor={self.base_constructor!r} is not a '
                'registered optimizer wrapper constructor; list the module '
                'that registers it in custom_imports')
        check_optimizer_keys(base, kind, optimizer)
        check_paramwise_keys(base, paramwise_cfg, optimizer)

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the wrapper for a model, which DDP or FSDP may wrap."""
        wrapped = model
        if is_sharded(model) and not model._use_orig_params:
            raise ValueError(
                'AGVM finds modules by the names of their parameters, which '
                'FSDP hides: set use_orig_params=True in its model_wrapper')
        if is_model_wrapper(model):
            model = model.module
        partition_parameters(model, self.modules)  # or it cannot be done
        module_of = assign_modules(model, self.modules)
        optimizer = self._build_optimizer(model)
        check_optimizer(optimizer)

        name_of = {p: name for name, p in named_parameters(model)}
        # A checkpoint of a run without AGVM has its optimizer's state in this
        # order, and no names.
        plain_layout = _layout_of(optimizer, name_of)
        _tell_left_out(name_of, plain_layout)
        optimizer = rebuilt(
            optimizer, regrouped(optimizer.param_groups, name_of, module_of),
            self.optim_wrapper_cfg['optimizer'])

        cfg = {
            k: v
            for k, v in self.optim_wrapper_cfg.items() if k != 'optimizer'
        }
        wrapper = OPTIM_WRAPPERS.build(
            cfg,
            default_args=dict(
                optimizer=optimizer, plain_layout=plain_layout, model=wrapped))
        if wrapper.clock.end > 0 and not is_sharded(wrapped):
            _tell_mostly_frozen({
                name: parameter
                for parameter, name in name_of.items()
                if module_of.get(name) == wrapper.modulator.anchor
            }, wrapper.modulator.anchor)
        return wrapper

    def _build_optimizer(self, model: nn.Module) -> Optimizer:
        """Let the user's own constructor build the optimizer."""
        settings = self.optim_wrapper_cfg['optimizer']
        constructor = dict(
            type=self.base_constructor,
            optim_wrapper_cfg=dict(type='OptimWrapper', optimizer=settings),
            paramwise_cfg=self.paramwise_cfg)
        try:
            return OPTIM_WRAPPER_CONSTRUCTORS.build(constructor)(
                model).optimizer
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            told = ' '.join(str(error).split())
            raise ValueError(
                f'optim_wrapper.optimizer={settings} with paramwise_cfg='
                f'{self.paramwise_cfg} cannot be built: '
                f'{type(error).__name__}: {told}') from error


def _takes_agvm(kind: type | None) -> bool:
    # build() tells that nobody has registered it. A user's own subclass may
    # hand on what it does not name.
    return kind is None or any(
        'agvm' in inspect.signature(base.__init__).parameters
        for base in getattr(kind, '__mro__', ()))


def _class_of(registry: Registry, kind: Any) -> Any:
    """What a registry builds of a ``type``; None if it cannot."""
    if not isinstance(kind, str):
        return kind if callable(kind) else None
    # In the config's default scope, where build() looks too.
    with registry.switch_scope_and_registry(None) as scoped:
        return scoped.get(kind)


def _layout_of(optimizer: Optimizer,
               name_of: Mapping[nn.Parameter, str]) -> list[list[str]]:
    """The parameters' names, group by group.

    Raises:
        ValueError: If one is none of the model's.
    """
    groups = [group['params'] for group in optimizer.param_groups]
    for parameter in (p for group in groups for p in group):
        if parameter not in name_of:
            raise ValueError(
                'agvm.base_constructor has put a parameter of shape '
                f'{tuple(parameter.shape)} into the optimizer that is none of '
                "the model's, so it belongs to no module: make it a parameter "
                'of the model')
    return [[name_of[p] for p in group] for group in groups]


def _tell_left_out(name_of: Mapping[nn.Parameter, str],
                   layout: list[list[str]]) -> None:
    """Tell which frozen parameters would not train if they were unfrozen."""
    kept = {name for names in layout for name in names}
    frozen = [
        name for parameter, name in name_of.items()
        if name not in kept and not parameter.requires_grad
    ]
    if frozen:
        print_log(
            f'{len(frozen)} frozen parameters ({frozen[0]}, ...) are not in '
            'the optimizer, because the constructor left them out: unfreezing '
            'would not train them.',
            logger='current')


def _tell_mostly_frozen(whole: Mapping[str, nn.Parameter],
                        anchor: str) -> None:
    """Warn of an anchor of which hardly anything trains, as SAN's encoder."""
    trained = [name for name, p in whole.items() if p.requires_grad]
    numbers = sum(whole[name].numel() for name in trained)
    total = sum(parameter.numel() for parameter in whole.values())
    if numbers < FEW * total:
        print_log(
            f'The anchor, {anchor}, trains {numbers:,} of its {total:,} '
            f'numbers ({trained[0]}, ...), and every other module is aligned '
            'with these: set agvm.anchor to a module that trains, or join '
            'modules by agvm.modules',
            logger='current',
            level=logging.WARNING)
