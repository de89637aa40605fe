"""Counts the samples of a micro-batch, for the noise scale."""
from __future__ import annotations

from torch import Tensor, nn

from .graphs import outside_of_graphs


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
        for value in (kwargs.get('data_samples'), kwargs.get('inputs'), *args):
            if isinstance(value, (list, tuple, Tensor)):
                self._samples = len(value)
                return
