"""Lets a FlexibleRunner load a checkpoint where MMEngine's Runner does.

MMEngine 0.10's ``FlexibleRunner`` loads before it calls its hooks'
``before_run``, in which ``EMAHook`` makes the average that a checkpoint is
loaded into: no run with one could go on. A ``FlexibleRunner`` that calls it
first, as ``Runner`` does, would let this go.
"""
from __future__ import annotations

from typing import Any


class BeginsBeforeLoading:
    """For a subclass of ``FlexibleRunner``."""

    _begun = False

    def load_or_resume(self) -> None:
        """The base class's, after the hooks' ``before_run``."""
        self.call_hook('before_run')
        super().load_or_resume()  # type: ignore[misc]
        self._begun = True

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """The base class's, but for a ``before_run`` that has been.

        Args:
            fn_name (str): The hooks' method.
            **kwargs: For that method.
        """
        if fn_name == 'before_run' and self._begun:
            self._begun = False
            return
        super().call_hook(fn_name, **kwargs)  # type: ignore[misc]
