"""Seconds spent in some functions, less those they spend in others."""
from __future__ import annotations

import statistics
import time
from functools import wraps
from typing import Any, Callable, Sequence

import torch


class Stopwatch:
    """Runs inside of marked functions, and stands in what they call back to.

    AGVM's lines and the host's are nested in each other: AGVM's ``backward``
    calls MMEngine's, which calls AGVM's hooks. So functions are marked as
    ``ours`` or as the ``host``'s, and the innermost mark decides. On a GPU
    each change of sides waits for the device, so that kernels count where
    they were launched; what they could have overlapped counts in full.

    Attributes:
        seconds (float): Spent on our side so far.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._ours = False
        self._since = 0.0

    def _switch(self, ours: bool) -> bool:
        """Change sides; return the side that was left."""
        before = self._ours
        if ours != before:
            now = clock()
            if before:
                self.seconds += now - self._since
            self._since = now
            self._ours = ours
        return before

    def _marked(self, function: Callable, ours: bool) -> Callable:

        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            before = self._switch(ours)
            try:
                return function(*args, **kwargs)
            finally:
                self._switch(before)

        return timed

    def mark(self, owner: Any, names: Sequence[str], *, ours: bool) -> None:
        """Mark functions of a class or module, for good.

        Args:
            owner (Any): The class or module.
            names (Sequence[str]): Its functions.
            ours (bool): Whether they count.
        """
        for name in names:
            setattr(owner, name, self._marked(getattr(owner, name), ours))

    def mark_context(self, owner: Any, name: str, *, ours: bool) -> None:
        """Mark the entry and the exit of a context, but not its body.

        Args:
            owner (Any): The class or module.
            name (str): Its function that returns the context.
            ours (bool): Whether they count.
        """
        make = getattr(owner, name)
        watch = self

        class Timed:

            def __init__(self, *args: Any, **kwargs: Any) -> None:
                self.context = make(*args, **kwargs)
                self.enter = watch._marked(self.context.__enter__, ours)
                self.leave = watch._marked(self.context.__exit__, ours)

            def __enter__(self) -> Any:
                return self.enter()

            def __exit__(self, *error: Any) -> Any:
                return self.leave(*error)

        setattr(owner, name, lambda *args, **kwargs: Timed(*args, **kwargs))


def clock() -> float:
    """Seconds, once the device has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest of repetitions."""
    return dict(
        median=statistics.median(values), min=min(values), max=max(values))
