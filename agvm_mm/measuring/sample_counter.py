"""Counts the samples of a micro-batch, for the noise scale."""
from __future__ import annotations

from collections import Counter
from typing import Any, Iterable, Mapping

from torch import Tensor, nn

from .graphs import outside_of_graphs

# What tells an image from another, in a data sample's meta data.
IDENTITIES = ('img_path', 'img_id', 'sample_idx')


class SampleCounter:
    """A hook that counts the samples of a micro-batch's forward pass.

    It stays on the model from before the first iteration on: a compiled model
    does not look for hooks that come and go. Between :meth:`start` and
    :meth:`stop` it counts the first call, and no other: not the validation's,
    nor those that the model makes of itself.
    """

    def __init__(self) -> None:
        self._counting = False
        self._samples = 0

    def __reduce__(self) -> tuple:
        # A copy of the model, as an average of its weights, counts nothing.
        return type(self), ()

    def attach(self, model: nn.Module) -> None:
        """Count the calls of a model, once however often this is asked for.

        Args:
            model (nn.Module): An MMEngine model, wrapped or not.
        """
        if self not in model._forward_pre_hooks.values():
            model.register_forward_pre_hook(self, with_kwargs=True)

    def start(self) -> None:
        """The forward pass of a micro-batch comes."""
        # Of a forward pass that failed, or whose loss was not used.
        self._samples = 0
        self._counting = True

    def stop(self) -> None:
        """It is done."""
        self._counting = False

    def take(self) -> int:
        """The samples of the forward pass; 0 if they could not be counted."""
        samples, self._samples = self._samples, 0
        return samples

    @outside_of_graphs
    def __call__(self, model: nn.Module, args: tuple, kwargs: dict) -> None:
        """The hook."""
        # MMEngine's models are told what they are called for.
        if not self._counting or kwargs.get('mode', 'loss') != 'loss':
            return
        self._counting = False
        self._samples = count_samples(args, kwargs)


def count_samples(args: Iterable[Any], kwargs: Mapping[str, Any]) -> int:
    """The samples in what a model is called with.

    Args:
        args (Iterable): Its arguments by position.
        kwargs (Mapping[str, Any]): And by name. ``data_samples`` is asked
            first, which tells most, then ``inputs``, then all others.
            Arguments that hold ``inputs`` are batches of several sources,
            whose samples add up.

    Returns:
        int: 0 if they cannot be counted.
    """
    sources = [a for a in args if isinstance(a, Mapping) and 'inputs' in a]
    if sources:
        counts = [count_samples((), source) for source in sources]
        return sum(counts) if all(counts) else 0
    data_samples, inputs = kwargs.get('data_samples'), kwargs.get('inputs')
    if isinstance(data_samples, Mapping):
        # Targets of one batch, as mmyolo's, or data samples by branch.
        return _count(inputs) if isinstance(
            inputs, Tensor) else _distinct(data_samples)
    named = dict(data_samples=data_samples, inputs=inputs)
    values = (*named.values(), *args,
              *(v for k, v in kwargs.items() if k not in named))
    return next(filter(None, map(_count, values)), 0)


def _count(value: Any) -> int:
    if isinstance(value, Tensor):
        return len(value) if value.dim() else 0
    if isinstance(value, Mapping):
        # Modalities of the same samples: points and images, say.
        counts = {n for n in map(_count, value.values()) if n}
        return counts.pop() if len(counts) == 1 else 0
    if not isinstance(value, (list, tuple)):
        return 0
    if value and all(map(_is_batch, value)):
        # Views of the same samples, as contrastive learning makes them.
        counts = {len(view) for view in value}
        return counts.pop() if len(counts) == 1 else 0
    return len(value)


def _is_batch(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.dim() > 3  # An image has three dimensions.
    return isinstance(value, (list, tuple)) and bool(value) and all(
        isinstance(item, Tensor) for item in value)


def _distinct(branches: Mapping[str, Any]) -> int:
    """Images of branches that may show the same ones, as mmdet's SoftTeacher.

    Args:
        branches (Mapping[str, Any]): Lists of data samples by branch.

    Returns:
        int: 0 if the samples do not tell which images they are.
    """
    images: Counter = Counter()
    for samples in branches.values():
        if not isinstance(samples, (list, tuple)):
            return 0
        names = [_identity(sample) for sample in samples]
        if None in names:
            return 0
        # An image that is twice in one branch is two samples.
        images |= Counter(names)
    return sum(images.values())


def _identity(sample: Any) -> str | None:
    metainfo = getattr(sample, 'metainfo', None) or {}
    return next((str(metainfo[key]) for key in IDENTITIES if key in metainfo),
                None)
