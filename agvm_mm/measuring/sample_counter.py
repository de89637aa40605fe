"""Counts the samples of an update, for the noise scale."""
from __future__ import annotations

import torch._dynamo
from torch import Tensor, nn


class SampleCounter:
    """A hook that counts the samples a model is called with, while active.

    It stays on the model from before the first iteration on: a compiled model
    does not look for hooks that come and go.

    Attributes:
        active (bool): Whether to count.
        total (int): Samples counted; 0 if they could not be.
    """

    def __init__(self) -> None:
        self.active = False
        self.total = 0

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

    @torch._dynamo.disable
    def __call__(self, model: nn.Module, args: tuple, kwargs: dict) -> None:
        """The hook."""
        if not self.active:
            return
        for value in (kwargs.get('data_samples'), kwargs.get('inputs'), *args):
            if isinstance(value, (list, tuple, Tensor)):
                self.total += len(value)
                return
