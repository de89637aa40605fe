"""Finds how an optimizer is treated, and refuses those that cannot work."""
from __future__ import annotations

import inspect
from numbers import Real

from torch import Tensor
from torch.optim import Optimizer

from .optimizer_table import (
    CLOSURE,
    MODES,
    NO_LR,
    ONE_RATE,
    RELATIVE,
    TABLE,
    UNKNOWN,
    WRAPS,
    Treatment,
)

_BY_NAME = {
    f'{package}.{name}': treatment
    for package, treatments in TABLE.items()
    for treatment, names in treatments.items() for name in names.split()
}


def treatment_of(optimizer: Optimizer) -> Treatment:
    """How the directions of an optimizer are found.

    A class is known by the package that defines it and by its name, and a
    subclass by the nearest of its bases that is known.

    Args:
        optimizer (Optimizer): Any.
    """
    for base in type(optimizer).__mro__:
        package = base.__module__.partition('.')[0]
        known = _BY_NAME.get(f'{package}.{base.__qualname__}')
        if known is not None:
            return known
    return UNKNOWN


def check_optimizer(optimizer: Optimizer) -> None:
    """Refuse an optimizer for which a factor for each module has no meaning.

    Args:
        optimizer (Optimizer): As it was built.

    Raises:
        ValueError: If the table, or how it is made, says that it cannot work,
            if what it divides by cannot be read, or if a parameter is
            complex.
    """
    name = type(optimizer).__qualname__
    treatment = treatment_of(optimizer)
    if treatment.kind != 'refused':
        treatment = _seen_in(optimizer) or treatment
    if treatment.kind == 'refused':
        raise ValueError(
            f'optim_wrapper.optimizer: AGVM cannot work with {name}, because '
            f'{treatment.why}. {treatment.mend}. docs/optimizers.md lists '
            'what works')
    _check_parameters(optimizer)
    if treatment.moment is None:
        return
    for group in optimizer.param_groups:
        eps = group.get('eps')
        if not _is_number(eps):
            raise ValueError(
                f'optim_wrapper.optimizer.eps={eps!r}: AGVM divides gradients '
                f'as {name} does, for which it must be a number')


def _check_parameters(optimizer: Optimizer) -> None:
    for group in optimizer.param_groups:
        for parameter in group['params']:
            if parameter.is_complex():
                raise ValueError(
                    'AGVM compares real gradients, but a parameter of shape '
                    f'{tuple(parameter.shape)} is {parameter.dtype}. Keep it '
                    'as a real one, of which torch.view_as_complex is taken')


def _seen_in(optimizer: Optimizer) -> Treatment | None:
    """Why an optimizer cannot work, of what one sees without knowing it."""
    groups = optimizer.param_groups
    if any(isinstance(v, Optimizer) for v in vars(optimizer).values()):
        return WRAPS
    if any(group.get('relative_step') is True for group in groups):
        return RELATIVE
    if any('d0' in group or 'd_coef' in group for group in groups):
        return ONE_RATE
    if all(callable(getattr(optimizer, m, None)) for m in ('train', 'eval')):
        return MODES
    closure = inspect.signature(optimizer.step).parameters.get('closure')
    if closure is not None and closure.default is closure.empty:
        return CLOSURE
    if not all(_is_number(group.get('lr')) for group in groups):
        return NO_LR
    return None


def _is_number(value: object) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1
    return isinstance(value, Real) and not isinstance(value, bool)
