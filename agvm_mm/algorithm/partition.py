"""Which parameter belongs to which module of a detector or segmentor.

AGVM compares the modules of a dense predictor with each other (paper, section
3.1: backbone, FPN, RPN and heads).  Here a module is a name and the parameters
under it; the partition covers every trainable parameter exactly once.
"""
from __future__ import annotations

from typing import Mapping, Sequence

from torch import nn

from .parts import default_modules, named_parameters


def assign_modules(
    model: nn.Module,
    modules: Mapping[str, str | Sequence[str]] | None = None,
) -> dict[str, str]:
    """Find the module of every parameter, trainable or frozen.

    A parameter's module does not depend on ``requires_grad``, of its own or
    of others.

    Args:
        model (nn.Module): The model, whose parts may be wrapped.
        modules (dict[str, str or list[str]], optional): As for
            :func:`partition_parameters`. Defaults to None.

    Returns:
        dict[str, str]: A parameter's name (from :func:`named_parameters`) to
        its module's, in the model's own order.

    Raises:
        ValueError: If ``modules`` is no such dict, or names a prefix twice.
    """
    owner_of, by_default = _owners(modules), default_modules(model)
    return {
        name: _longest(name, owner_of) or _longest(name, by_default)
        for name, _ in named_parameters(model)
    }


def partition_parameters(
    model: nn.Module,
    modules: Mapping[str, str | Sequence[str]] | None = None,
) -> dict[str, list[str]]:
    """Split the trainable parameters of a model into named modules.

    By default the modules are those of
    :func:`~agvm_mm.algorithm.parts.default_modules`.  ``modules`` names
    others, which come first: among its prefixes the longest that fits a
    parameter wins, and what none of them fits stays where the default puts
    it.

    Args:
        model (nn.Module): The model, whose parts may be wrapped.
        modules (dict[str, str or list[str]], optional): Module name to the
            prefix, or prefixes, of its parameters' names. A prefix ends at a
            dot or at the name's end: ``'neck.fpn'`` does not fit
            ``'neck.fpn_convs.0.weight'``. Defaults to None.

    Returns:
        dict[str, list[str]]: Module name to the names of its trainable
        parameters. Modules and names are in the model's own order; what joins
        a module does not change the module's place.

    Raises:
        ValueError: If ``modules`` is no such dict, if a prefix fits no
            trainable parameter or is named twice, or if other prefixes leave
            nothing to a module.
    """
    everything = assign_modules(model, modules)
    module_of = {
        name: everything[name]
        for name, parameter in named_parameters(model)
        if parameter.requires_grad
    }
    _check_prefixes(_owners(modules), module_of)
    partition: dict[str, list[str]] = {
        module: []
        for module in _in_order(module_of)
    }
    for name, module in module_of.items():
        partition[module].append(name)
    return partition


def _longest(name: str, owner_of: Mapping[str, str]) -> str | None:
    """The owner of the longest prefix that fits a name."""
    parts = name.split('.')
    prefixes = ('.'.join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((owner_of[p] for p in prefixes if p in owner_of), None)


def _in_order(module_of: Mapping[str, str]) -> list[str]:
    """The modules, each where its own parameters begin.

    A parameter of the model's root comes before all others, whichever module
    it joins.
    """
    first: dict[str, int] = {}
    own: dict[str, int] = {}
    for position, (name, module) in enumerate(module_of.items()):
        first.setdefault(module, position)
        if _fits(name, module):
            own.setdefault(module, position)
    return sorted(first, key=lambda module: own.get(module, first[module]))


def _check_prefixes(owner_of: Mapping[str, str],
                    module_of: Mapping[str, str]) -> None:
    """Every prefix fits a name, and every module has one."""
    for prefix, module in owner_of.items():
        if not any(_fits(name, prefix) for name in module_of):
            raise ValueError(
                f'agvm.modules[{module!r}]: the prefix {prefix!r} fits no '
                'trainable parameter. Prefixes that fit: '
                f'{", ".join(_prefixes(list(module_of)))}')
        if module not in module_of.values():
            raise ValueError(
                f'agvm.modules[{module!r}] is left without parameters: longer '
                'prefixes of other modules claim all of them. Leave it out, '
                'or name a longer prefix for it')


def _owners(
        modules: Mapping[str, str | Sequence[str]] | None) -> dict[str, str]:
    """Turn {module: prefixes} into {prefix: module}, checking its types."""
    if modules is None:
        return {}
    wanted = ('agvm.modules must be a dict of module name to a prefix of '
              "parameter names, or a list of them, as dict(heads=['rpn_head', "
              f"'roi_head']), but got {modules!r}")
    if not isinstance(modules, Mapping):
        raise ValueError(wanted)
    owner_of: dict[str, str] = {}
    for module, prefixes in modules.items():
        if isinstance(prefixes, str):
            prefixes = [prefixes]
        if not (isinstance(module, str) and module
                and isinstance(prefixes, (list, tuple)) and prefixes
                and all(isinstance(p, str) and p for p in prefixes)):
            raise ValueError(wanted)
        for prefix in prefixes:
            if prefix in owner_of:
                raise ValueError(
                    f'agvm.modules: the prefix {prefix!r} is named twice, by '
                    f'{owner_of[prefix]!r} and by {module!r}: keep one of them'
                )
            owner_of[prefix] = module
    return owner_of


def _fits(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + '.')


def _prefixes(names: Sequence[str]) -> list[str]:
    """The prefixes of one and two parts, for the error that lists them."""
    prefixes = ('.'.join(name.split('.')[:depth]) for name in names
                for depth in (1, 2))
    return list(dict.fromkeys(prefixes))
