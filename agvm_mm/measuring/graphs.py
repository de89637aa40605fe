"""Keeps a function out of compiled graphs."""
from __future__ import annotations

import functools
import sys

import torch


def outside_of_graphs(function):
    """Let ``torch.compile`` call a function instead of tracing it.

    What hooks and schedules do changes from update to update, and each change
    would compile anew.

    Args:
        function (Callable): To be called as it is.

    Returns:
        Callable: The same, for ``torch.compile`` to leave alone.
    """
    # torch.compiler.disable imports the whole compiler at once; this one does
    # at the first call, as torch's own optimizers do when they are built.
    disable = getattr(torch, '_disable_dynamo', None)
    if disable is None and hasattr(torch, 'compiler'):
        disable = torch.compiler.disable
    elif disable is None:  # torch 2.0
        return _outside_once_compiled(function)
    return disable(function)


def _outside_once_compiled(function):

    @functools.wraps(function)
    def call(*args, **kwargs):
        # Nothing is compiled by a compiler that was not imported.
        compiler = sys.modules.get('torch._dynamo')
        if compiler is None:
            return function(*args, **kwargs)
        return compiler.disable(function)(*args, **kwargs)

    return call
