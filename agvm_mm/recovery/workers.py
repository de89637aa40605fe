"""Keeps workers of a data loader alive when their rank is asked to stop.

Slurm, and torchrun by a rank's process group, signal them too. A worker that
SIGTERM ends takes its rank down with an error, in mid-update.
"""
from __future__ import annotations

import os
import signal
import threading
from functools import partial
from typing import Any, Callable

from torch.utils.data import DataLoader

from .stop_signals import STOP_SIGNALS


def keep_workers(loop: Any) -> None:
    """Let the workers of a loop's data loader heed their own rank alone.

    Args:
        loop (BaseLoop, optional): Of a runner. Those that it has started
            already it starts again.
    """
    loader = getattr(loop, 'dataloader', None)
    if not isinstance(loader, DataLoader) or not loader.num_workers:
        return
    loader.worker_init_fn = partial(
        heed_the_rank_alone, then=loader.worker_init_fn)
    started = getattr(loop, 'dataloader_iterator', None)
    if started is not None:
        loop.dataloader_iterator = loader._iterator = None
        loop.dataloader_iterator = type(started)(loader)


def heed_the_rank_alone(worker: int,
                        then: Callable[[int], None] | None = None) -> None:
    """What a worker does first.

    Args:
        worker (int): Its number.
        then (Callable, optional): What it does next, called with its number.
            Defaults to None.
    """
    if hasattr(signal, 'sigwaitinfo'):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        threading.Thread(
            target=_wait_for_the_rank, args=(os.getppid(), ),
            daemon=True).start()
    if then is not None:
        then(worker)


def _wait_for_the_rank(rank: int) -> None:
    while True:
        sent = signal.sigwaitinfo(STOP_SIGNALS)
        # torch ends what is left of them at its own exit so.
        if sent.si_pid == rank and sent.si_signo == signal.SIGTERM:
            os._exit(0)
