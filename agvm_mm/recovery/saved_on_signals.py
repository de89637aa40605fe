"""What earlier runs saved on a signal, until there is a newer checkpoint."""
from __future__ import annotations

import os

from mmengine.dist import master_only

from .files import drop


class SavedOnSignals:
    """The checkpoints of signals that a run finds where it saves its own.

    Args:
        folder (str): Of the run's checkpoints; it may not be there yet.
    """

    NAME = 'preempted_iter_{}.pth'

    def __init__(self, folder: str) -> None:
        start, end = self.NAME.split('{}')
        self._paths = [
            os.path.join(folder, name) for name in sorted(os.listdir(folder))
            if name.startswith(start) and name.endswith(end)
        ] if os.path.isdir(folder) else []

    @master_only
    def remove(self, but: str | None = None) -> None:
        """Remove them.

        Args:
            but (str, optional): One that stays. Defaults to None.
        """
        for path in self._paths:
            if path != but:
                drop(path)
