"""Measurements that were due and could not be taken."""
from __future__ import annotations

import logging
from typing import Mapping, Sequence

import torch
from mmengine.logging import print_log
from torch import nn
from torch.optim import Optimizer

from agvm_mm.measuring.measurement import Sums
from agvm_mm.measuring.treatment import treatment_of

# Of skips in a row, after which there is a warning.
PATIENCE = 10
NON_FINITE = 'has a gradient that is not finite'
NO_GRADIENT = ('has no gradient: it is frozen, or the loss does not depend on '
               'it')


class SkippedMeasurements:
    """Counts them, and tells why if it goes on.

    Attributes:
        count (int): Measurements that were skipped.
    """

    def __init__(self) -> None:
        self.count = 0
        self._in_a_row: dict[str | None, int] = {}

    def record(self, reason: str | None,
               modules: Mapping[str, str] | None = None,
               *,
               at_once: bool = False) -> None:
        """Take in a measurement that was due.

        Args:
            reason (str, optional): Why it could not be taken; None if it was.
            modules (Mapping[str, str], optional): Modules that could not be
                measured though others were, and why. Defaults to None.
            at_once (bool): Whether the reason is not likely to go away.
                Defaults to False: it is told if it goes on.
        """
        self.count += reason is not None
        why = {**(modules or {}), **({} if reason is None else {None: reason})}
        self._in_a_row = {
            module: self._in_a_row.get(module, 0) + 1
            for module in why
        }
        for module, times in self._in_a_row.items():
            if module is None and at_once:
                if times == 1:
                    _warn(f'cannot measure: {why[module]}')
            elif times == PATIENCE:
                what = f'the module {module} ' if module else ''
                _warn(f'could not measure the last {PATIENCE} updates that '
                      f'were due: {what}{why[module]}')

    def foretell(self, reason: str) -> None:
        """Tell that measurements will be skipped, before any is due.

        Args:
            reason (str): It is not told again while it lasts.
        """
        self._in_a_row[None] = 1
        _warn(f'will measure nothing while this lasts: {reason}')


def _warn(what: str) -> None:
    print_log(
        f'AGVM {what}. Learning-rate factors stay as they are meanwhile.',
        logger='current',
        level=logging.WARNING)


def problems_of(sums: Sums, modules: Sequence[str],
                optimizer: Optimizer) -> dict[str, str]:
    """Why modules have no variance, by their names.

    Args:
        sums (Sums): Of the update.
        modules (Sequence[str]): The modules' names.
        optimizer (Optimizer): Before its step, so that its parameters still
            have their gradients.
    """
    finite = torch.isfinite(sums.sum_sq) & torch.isfinite(sums.mean_sq)
    measured = torch.isfinite(sums.variance)
    return {
        module: _unmeasured(module, optimizer) if good else NON_FINITE
        for module, good, done in zip(modules, finite.tolist(),
                                      measured.tolist()) if not done
    }


def without_gradient(module: str, optimizer: Optimizer) -> bool:
    """Whether no parameter of a module has a gradient.

    Args:
        module (str): Its name.
        optimizer (Optimizer): Before its step.
    """
    # Of FSDP's shards some are empty, and empty shards have no gradient.
    held = [p for p, _ in _parameters(module, optimizer) if p.numel()]
    return bool(held) and all(p.grad is None for p in held)


def _unmeasured(module: str, optimizer: Optimizer) -> str:
    graded = [(p, group) for p, group in _parameters(module, optimizer)
              if p.grad is not None]
    if not graded:
        return NO_GRADIENT
    moment_of = treatment_of(optimizer).moment
    if moment_of is not None:
        stepped = [(optimizer.state[p], g) for p, g in graded
                   if optimizer.state.get(p)]
        if not stepped:
            return ('has no second moments in its optimizer yet, which come '
                    'with the first step')
        if not any(moment_of(state, group) for state, group in stepped):
            return ('has a state in its optimizer that holds no second moments'
                    ' by the names that AGVM knows')
    return 'has a gradient of zero, in all or in half of the replicas'


def _parameters(module: str,
                optimizer: Optimizer) -> list[tuple[nn.Parameter, dict]]:
    return [(p, group) for group in optimizer.param_groups
            if group.get('module') == module for p in group['params']]
