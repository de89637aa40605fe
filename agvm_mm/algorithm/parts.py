"""The modules of a detector or segmentor, seen from its structure.

Here is what AGVM compares by default: the parts that the papers draw.  It
reads only which child holds which, never ``requires_grad``, so that freezing
a parameter moves none to another module.
"""
from __future__ import annotations

from typing import Iterator, Mapping

from torch import nn
from torch.nn.parallel import DistributedDataParallel

# Children of which each child is a part (roi_head.bbox_head, ...).
CONTAINERS = ('roi_head', )
# What is the backbone of a model that has none by name, as a retriever.
ENCODERS = ('image_encoder', 'vision_encoder', 'visual_encoder')
# Parts, however small they are: the anchor, and what a toy may make small.
BODY = ('backbone', 'neck', 'encoder', 'decoder')
DECODERS = ('decoder', 'transformer_decoder')
# The part that a loose parameter feeds: the first of these that there is.
READERS = (*DECODERS, 'bbox_head', 'roi_head.bbox_head', 'mask_head',
           'panoptic_head', 'decode_head', 'head', 'cls_head', 'neck')
# Nothing but learned tokens: they compute nothing.
BARE = (nn.Embedding, nn.ParameterList, nn.ParameterDict)

# Where wrappers inside of a model keep what they wrap: FSDP, activation
# checkpointing, torch.compile.  These names are theirs alone; DDP's 'module'
# could be anybody's, so DDP is known by its class.
WRAPPERS = ('_fsdp_wrapped_module', '_checkpoint_wrapped_module', '_orig_mod')


def named_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters of a model, by the names that they have unwrapped.

    Args:
        model (nn.Module): The model. It or its parts may be wrapped by DDP
            (MMEngine's ``MMSeparateDistributedDataParallel`` wraps every
            child), FSDP, activation checkpointing or torch.compile.

    Yields:
        tuple[str, nn.Parameter]: As the model's own ``named_parameters``.
    """
    seen: set[nn.Parameter] = set()
    for path, module in _named_modules(model):
        for name, parameter in module._parameters.items():
            if parameter is not None and parameter not in seen:
                seen.add(parameter)
                yield _join(path, name), parameter


def default_modules(model: nn.Module) -> dict[str, str]:
    """The modules that a model has by default.

    1. A child of the model is a module, named as the child. ``roi_head`` is
       opened one level. In a model that has no backbone, but detectors that
       have one (a tracker's ``detector``, a ``student``), however deep, these
       are divided likewise, as ``detector.backbone``; and so is an image
       encoder that is a list of parts, as ``image_encoder.0``. Names with a
       sensor (``img_backbone``, ``pts_roi_head``) are known by their ends.
    2. A head that holds a neck of its own is two: a ``pixel_decoder`` and the
       ``transformer_decoder`` with all the rest (MaskFormer, Mask2Former); a
       pyramid, ``fpn``, and the classifier, which keeps the head's name
       (UPerHead).
    3. A loose part joins the module that it feeds, the first of
       :data:`READERS` beside it. Its gradient is one or two tensors, and a
       learning-rate factor from their variance would be noise. Loose are a
       parameter that hangs directly on the model; what consists of nothing
       but embeddings or bare parameters (learned queries, Sparse R-CNN's
       proposals, SparK's mask tokens); and, beside a transformer's decoder, a
       single layer, which is at most a weight and a bias
       (``memory_trans_fc``). The size does not count: a head of a few numbers
       is a head.

    Args:
        model (nn.Module): The model, whose parts may be wrapped.

    Returns:
        dict[str, str]: Prefix of parameters' names to the module's name. The
        longest prefix wins. Every parameter has one.
    """
    owner_of: dict[str, str] = {}
    _divide(_unwrapped(model), '', owner_of)
    return owner_of


def _divide(container: nn.Module, path: str, owner_of: dict[str, str]) -> None:
    """Add the parts of a container, whose own prefix is ``path``."""
    parts = _children(container)
    has_backbone = any(_is_kind(name, 'backbone') for name in parts)
    loose = [
        _join(path, name) for name, p in container._parameters.items()
        if p is not None
    ]
    for name, part in parts.items():
        prefix = _join(path, name)
        is_container = any(_is_kind(name, kind) for kind in CONTAINERS)
        if ((is_container and _children(part))
                or (not has_backbone and _holds_backbone(name, part))):
            _divide(part, prefix, owner_of)
        elif _is_loose(name, part, parts):
            loose.append(prefix)
        else:
            owner_of[prefix] = prefix
            if name not in BODY:
                _divide_head(part, prefix, _join(path, 'fpn'), owner_of)
    readers = [_join(path, reader) for reader in READERS]
    reader = next((owner_of[r] for r in readers if r in owner_of), None)
    for prefix in loose:
        owner_of[prefix] = reader or path or prefix


def _is_kind(name: str, kind: str) -> bool:
    """Whether a part is of a kind, as pts_backbone is a backbone."""
    return name == kind or name.endswith(f'_{kind}')


def _holds_backbone(name: str, part: nn.Module) -> bool:
    """Whether a part is no module, but some: a backbone and what follows."""
    if name in ENCODERS and isinstance(part, (nn.Sequential, nn.ModuleList)):
        return True
    return any(
        _is_kind(child, 'backbone') or child in ENCODERS
        or _holds_backbone(child, inner)
        for child, inner in _children(part).items())


def _divide_head(head: nn.Module, prefix: str, pyramid: str,
                 owner_of: dict[str, str]) -> None:
    """Add the neck that a head holds, wherever in it."""
    for path, module in _named_modules(head, prefix):
        parts = _children(module)
        if 'pixel_decoder' in parts:
            neck = f'{path}.pixel_decoder'
            owner_of[neck] = neck
            if 'transformer_decoder' in parts:
                owner_of[path] = f'{path}.transformer_decoder'
        elif 'fpn_convs' in parts and 'conv_seg' in parts:
            if pyramid in owner_of.values():
                pyramid = f'{path}.fpn'
            for name in parts:
                if name != 'conv_seg':
                    owner_of[f'{path}.{name}'] = pyramid


def _is_loose(name: str, part: nn.Module,
              siblings: Mapping[str, nn.Module]) -> bool:
    if name in BODY:
        return False
    holders = (
        module for module in part.modules()
        if next(module.parameters(recurse=False), None) is not None)
    if all(isinstance(module, BARE) for module in holders):
        return True
    return (any(decoder in siblings for decoder in DECODERS)
            and not name.endswith('head')
            and sum(1 for _ in part.parameters()) <= 2)


def _children(module: nn.Module) -> dict[str, nn.Module]:
    """The children that have parameters, unwrapped."""
    return {
        name: _unwrapped(child)
        for name, child in module._modules.items()
        if child is not None and next(child.parameters(), None) is not None
    }


def _named_modules(module: nn.Module,
                   path: str = '') -> Iterator[tuple[str, nn.Module]]:
    module = _unwrapped(module)
    yield path, module
    for name, child in module._modules.items():
        if child is not None:
            yield from _named_modules(child, _join(path, name))


def _unwrapped(module: nn.Module) -> nn.Module:
    while True:
        if isinstance(module, DistributedDataParallel):
            inner = module.module
        else:
            inner = next((module._modules[name]
                          for name in WRAPPERS if name in module._modules),
                         None)
        if inner is None:
            return module
        module = inner


def _join(path: str, name: str) -> str:
    return f'{path}.{name}' if path else name
