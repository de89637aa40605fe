"""Lets a FlexibleRunner load and save checkpoints as MMEngine's Runner does.

MMEngine 0.10's ``FlexibleRunner`` loads before it calls its hooks'
``before_run``, in which ``EMAHook`` makes the average that a checkpoint is
loaded into: no run with one could go on. And it saves the epoch and the
iteration after those at hand in place of what it is told, also where they are
over: in a validation, and at the end of an epoch. A ``FlexibleRunner`` that
did both as ``Runner`` would let this go.
"""
from __future__ import annotations

from typing import Any


class CheckpointsAsRunner:
    """For a subclass of ``FlexibleRunner``."""

    _begun = False
    _told: dict | None = None  # epoch and iteration of what is being saved

    def load_or_resume(self) -> None:
        """The base class's, after the hooks' ``before_run``."""
        self.call_hook('before_run')
        super().load_or_resume()  # type: ignore[misc]
        self._begun = True

    def save_checkpoint(self,
                        *args: Any,
                        meta: dict | None = None,
                        **kwargs: Any) -> None:
        """The base class's, of the epoch and the iteration that are told.

        Args:
            *args: For the base class.
            meta (dict, optional): May have an 'epoch' and an 'iter'. Defaults
                to None.
            **kwargs: For the base class.
        """
        told = meta or {}
        self._told = {k: told[k] for k in ('epoch', 'iter') if k in told}
        try:
            super().save_checkpoint(  # type: ignore[misc]
                *args, meta=meta, **kwargs)
        finally:
            self._told = None

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """The base class's, but for a ``before_run`` that has been.

        Args:
            fn_name (str): The hooks' method.
            **kwargs: For that method.
        """
        if fn_name == 'before_run' and self._begun:
            self._begun = False
            return
        if fn_name == 'before_save_checkpoint':  # Hooks reckon with it.
            kwargs['checkpoint']['meta'].update(self._told or {})
        super().call_hook(fn_name, **kwargs)  # type: ignore[misc]
