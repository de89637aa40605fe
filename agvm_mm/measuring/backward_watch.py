"""Sees the gradients of one backward pass, before anything is done to them."""
from __future__ import annotations

from contextlib import contextmanager
from typing import Callable, Iterator, Sequence

import torch
from torch import Tensor

from .direction import CHUNK, Gradient, Parameter, dense


class BackwardWatch:
    """Hands out the gradients of a backward pass, in chunks.

    A gradient is seen as this rank and this micro-batch found it: before it is
    added to ``.grad``, and before DDP averages it.

    Args:
        parameters (Sequence[Parameter]): Those to watch.
        take (Callable[[list[Gradient]], None]): Is called with every chunk,
            the last one at the end of the backward pass. It must not keep the
            gradients: autograd and DDP go on to write into their storage.
    """

    def __init__(self, parameters: Sequence[Parameter],
                 take: Callable[[list[Gradient]], None]) -> None:
        self.parameters = parameters
        self.take = take
        self._seen: set[Tensor] = set()
        self._pending: list[Gradient] = []
        self._pending_numel = 0

    @contextmanager
    def watch(self, loss: Tensor) -> Iterator[None]:
        """Watch the one backward pass that runs in this context.

        Args:
            loss (Tensor): What it starts from.

        Raises:
            RuntimeError: If a parameter's gradient comes in several parts.
        """
        handles = [
            p.tensor.register_hook(lambda grad, p=p: self._hold(p, grad))
            for p in self.parameters
            if p.tensor.requires_grad  # or frozen since the update began
        ]
        handles.append(loss.register_hook(self._queue_flush))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _queue_flush(self, grad: Tensor | None = None) -> None:
        # For the end of this backward pass, and from its very start: DDP's
        # reducer queues its own callback later, and there writes the average
        # into storage that .grad shares with what is held here.
        torch.autograd.Variable._execution_engine.queue_callback(self._flush)

    def _hold(self, parameter: Parameter, grad: Tensor | None) -> None:
        if grad is None:  # As of an output that the loss does not depend on.
            return
        # Reentrant checkpointing runs a backward pass within this one, at
        # whose end DDP's reducer may be done, and write its averages.
        self._queue_flush()
        if parameter.tensor in self._seen:
            raise RuntimeError(
                f'the gradient of {parameter.name} came in several parts, '
                'whose norm AGVM cannot tell: reentrant activation '
                'checkpointing covers a module that the model calls more than '
                'once. Call torch.utils.checkpoint with use_reentrant=False, '
                'or leave that module out')
        self._seen.add(parameter.tensor)
        # Detached: autograd may then still take this storage as .grad.
        self._pending.append((parameter, dense(grad.detach())))
        self._pending_numel += grad.numel()
        if self._pending_numel >= CHUNK:
            self._flush()

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        self._pending_numel = 0
        if pending:
            self.take(pending)
