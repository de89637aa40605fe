"""Which module an optimizer's parameter groups are.

That is the optimizer wrapper's own knowledge. It stands in ``group['module']``
between two loads, and no checkpoint brings a label back: another run's may
have other names.
"""
from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import Iterator, Mapping, Sequence

from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from torch import Tensor, nn
from torch.optim import Optimizer

from agvm_mm.algorithm.partition import assign_modules, named_parameters


class ModuleGroups:
    """Labels parameter groups with their modules.

    Args:
        optimizer (Optimizer): Its groups name their module in
            ``group['module']``.
        model (nn.Module, optional): The model, perhaps wrapped; without it
            nobody knows the parameters' names.
        modules (Mapping[str, str or list[str]], optional): Of
            :func:`~agvm_mm.algorithm.partition.assign_modules`.

    Attributes:
        names (dict[nn.Parameter, str]): The parameters' names.
        modules (list[str]): The modules with trainable parameters, in the
            groups' order.

    Raises:
        ValueError: If the groups name no modules.
    """

    def __init__(self, optimizer: Optimizer, model: nn.Module | None,
                 modules: Mapping[str, str | Sequence[str]] | None) -> None:
        groups = optimizer.param_groups
        if any('module' not in group for group in groups):
            raise ValueError(
                'AGVM needs an optimizer whose groups are modules: set '
                "constructor='AGVMOptimWrapperConstructor' in optim_wrapper")
        self._optimizer = optimizer
        self._model = model
        self._own_modules = modules
        self._module_of: dict[str, str] = {}
        self._warned: set[str | None] = set()
        self.names: dict[nn.Parameter, str] = {}
        self._learn()
        self.modules = list(
            dict.fromkeys(g['module'] for g in groups
                          if any(p.requires_grad for p in g['params'])))

    def label(self) -> None:
        """Label the groups that were added since, as by unfreezing.

        A group finds its module by the names of its parameters. One that finds
        none, or several, or one that had nothing to train at the start, steps
        at factor 1, and is warned of once.
        """
        groups = self._optimizer.param_groups
        new = [group for group in groups if 'module' not in group]
        if any(p not in self.names for g in new for p in g['params']):
            self._learn()
        for group in new:
            names = [self.names.get(p) for p in group['params']]
            found = {self._module_of.get(name) for name in names}
            group['module'] = found.pop() if len(found) == 1 else None
        _own_rates(new)
        for group in groups:
            module = group['module']
            if (module not in self.modules and module not in self._warned
                    and any(p.requires_grad for p in group['params'])):
                self._warned.add(module)
                self._warn(group)

    @contextmanager
    def labels_kept(self) -> Iterator[None]:
        """Put the labels back that a load within takes with the old groups."""
        labels = [group['module'] for group in self._optimizer.param_groups]
        yield
        for group, label in zip(self._optimizer.param_groups, labels):
            group['module'] = label
        _own_rates(self._optimizer.param_groups)

    def layout(self) -> list[list[str]] | None:
        """The parameters' names, group by group; None if one has no name."""
        groups = self._optimizer.param_groups
        if any(p not in self.names for g in groups for p in g['params']):
            return None
        return [[self.names[p] for p in g['params']] for g in groups]

    def _learn(self) -> None:
        """The names and modules of all parameters that the model now has."""
        model = self._model
        if model is None:
            return
        if is_model_wrapper(model):
            model = model.module
        self._module_of = assign_modules(model, self._own_modules)
        # In place: who measures holds the same dict.
        self.names.update((p, name) for name, p in named_parameters(model))

    def _warn(self, group: dict) -> None:
        known = [self.names.get(p) for p in group['params']]
        names = [name for name in known if name]
        print_log(
            f'A parameter group of {len(known)} parameters '
            f'({names[0] if names else "of unknown names"}, ...) belongs to '
            'none of the modules that AGVM measures: it steps at its own '
            'learning rate, unscaled.',
            logger='current',
            level=logging.WARNING)


def _own_rates(groups: Sequence[dict]) -> None:
    """Let no group share a learning rate that is a tensor.

    It is scaled in place, group by group. Groups share it that a run without
    AGVM saved as one, and those that are added without a rate.
    """
    for group in groups:
        if isinstance(group['lr'], Tensor):
            group['lr'] = group['lr'].clone()
