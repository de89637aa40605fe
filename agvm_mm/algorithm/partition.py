"""Which parameter belongs to which module of a detector or segmentor.

AGVM compares the modules of a dense predictor with each other (paper, section
3.1: backbone, FPN, RPN and heads).  Here a module is a name and the parameters
under it; the partition covers every trainable parameter exactly once.
"""
from __future__ import annotations

from typing import Iterator, Mapping, Sequence

from torch import nn

# Children of the root that are only containers: their own children are the
# modules that the paper compares (roi_head.bbox_head, roi_head.mask_head).
OPENED_CHILDREN = ('roi_head', )

# What wrappers inside of a model put into the names of its parameters: FSDP,
# activation checkpointing, torch.compile.
WRAPPERS = ('_fsdp_wrapped_module.', '_checkpoint_wrapped_module.',
            '_orig_mod.')


def named_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters of a model, by the names that they have unwrapped.

    Args:
        model (nn.Module): The model, whose parts may be wrapped.

    Yields:
        tuple[str, nn.Parameter]: As the model's own ``named_parameters``.
    """
    for name, parameter in model.named_parameters():
        for wrapper in WRAPPERS:
            name = name.replace(wrapper, '')
        yield name, parameter


def partition_parameters(
    model: nn.Module,
    modules: Mapping[str, str | Sequence[str]] | None = None,
) -> dict[str, list[str]]:
    """Split the trainable parameters of a model into named modules.

    By default a module is a top-level child of the model, named as the child;
    ``roi_head`` is opened one level, and a parameter that hangs directly on
    the root is a module of its own.  In a model that has no backbone, but
    detectors that have one (a tracker's ``detector``, a ``student``), these
    are split likewise, as ``detector.backbone``.  ``modules`` names others,
    which come first: among its prefixes the longest that fits a parameter
    wins, and what none of them fits stays where the default puts it.

    Args:
        model (nn.Module): The model, not wrapped by DDP.
        modules (dict[str, str or list[str]], optional): Module name to the
            prefix, or prefixes, of its parameters' names. A prefix ends at a
            dot or at the name's end: ``'neck.fpn'`` does not fit
            ``'neck.fpn_convs.0.weight'``. Defaults to None.

    Returns:
        dict[str, list[str]]: Module name to the names of its trainable
        parameters. Modules and names are in the model's own order.

    Raises:
        ValueError: If ``modules`` is no such dict, if a prefix fits no
            trainable parameter or is named twice, or if other prefixes leave
            nothing to a module.
    """
    parameters = dict(named_parameters(model))
    names = [n for n, p in parameters.items() if p.requires_grad]
    owner_of = _owners(modules)
    # By all names: a backbone that is frozen is one nevertheless.
    nested = _nested_detectors(list(parameters))
    partition: dict[str, list[str]] = {}
    for name in names:
        module = _module_of(name, owner_of, nested)
        partition.setdefault(module, []).append(name)

    for prefix, module in owner_of.items():
        if not any(_fits(name, prefix) for name in names):
            raise ValueError(
                f'agvm.modules[{module!r}]: the prefix {prefix!r} fits no '
                'trainable parameter. Prefixes that fit: '
                f'{", ".join(_prefixes(names))}')
        if module not in partition:
            raise ValueError(
                f'agvm.modules[{module!r}] is left without parameters: longer '
                'prefixes of other modules claim all of them')
    return partition


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
                    f'{owner_of[prefix]!r} and by {module!r}')
            owner_of[prefix] = module
    return owner_of


def _fits(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + '.')


def _nested_detectors(names: Sequence[str]) -> set[str]:
    """Children of the root that have the backbone which the root has not."""
    if any(_fits(name, 'backbone') for name in names):
        return set()
    return {
        name.split('.')[0]
        for name in names if name.split('.')[1:2] == ['backbone']
    }


def _module_of(name: str, owner_of: Mapping[str, str],
               nested: set[str]) -> str:
    fitting = [prefix for prefix in owner_of if _fits(name, prefix)]
    if fitting:
        return owner_of[max(fitting, key=len)]
    parts = name.split('.')
    # Within a nested detector everything is one level deeper.
    depth = 1 + (parts[0] in nested and len(parts) > 2)
    if parts[depth - 1] in OPENED_CHILDREN and len(parts) > depth + 1:
        depth += 1
    return '.'.join(parts[:depth])


def _prefixes(names: Sequence[str]) -> list[str]:
    """The prefixes of one and two parts, for the error that lists them."""
    prefixes = ('.'.join(name.split('.')[:depth]) for name in names
                for depth in (1, 2))
    return list(dict.fromkeys(prefixes))
