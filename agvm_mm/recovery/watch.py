"""A thread on each rank that looks whether the ranks go on."""
from __future__ import annotations

import json
import logging
import os
import threading
import time
from datetime import timedelta
from typing import Callable

import torch.distributed as dist
from mmengine.dist import broadcast_object_list
from mmengine.logging import print_log

from .verdict import doing, verdict


def shared_store(rank: int, timeout: float) -> dist.TCPStore:
    """A store on the first rank, apart from the one of the collectives.

    A collective: every rank must call it.

    Args:
        rank (int): This one.
        timeout (float): Seconds, of the watch.

    Returns:
        TCPStore: Of all ranks.
    """
    # A call that gets no answer must not outlive the watch.
    wait = timedelta(seconds=max(_beat(timeout), 1))
    address = [os.environ.get('MASTER_ADDR', '127.0.0.1'), 0]
    store = None
    if rank == 0:
        store = dist.TCPStore(
            '0.0.0.0', 0, is_master=True, timeout=wait, wait_for_workers=False)
        address[1] = store.port
    broadcast_object_list(address)
    if store is not None:
        return store
    return dist.TCPStore(
        address[0],
        address[1],
        is_master=False,
        timeout=wait,
        wait_for_workers=False)


class Watch:
    """Writes what this rank does to a store, and looks what the others do.

    Whether a key is there a counter tells: ``check`` is of torch 2.1.

    Args:
        store (TCPStore): Of all ranks.
        rank (int): This one.
        world_size (int): Their number.
        timeout (float): Seconds without an event.
        record (Callable[[], dict]): Tells what this rank does.
    """

    def __init__(self, store: dist.TCPStore, rank: int, world_size: int,
                 timeout: float, record: Callable[[], dict]) -> None:
        self.store = store
        self.rank = rank
        self.world_size = world_size
        self.timeout = timeout
        self.record = record
        self.beat = _beat(timeout)
        self._stopped = threading.Event()
        self._beats = 0

    def start(self) -> None:
        """Watch until :meth:`stop`."""
        # Two, because a store on a machine that stands still never answers.
        for target in (self._exchange, self._guard):
            threading.Thread(target=target, daemon=True).start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopped.set()

    def _exchange(self) -> None:
        """Tell the other ranks of this one, and look whom they wait for."""
        try:
            while True:
                self._write()
                if self._stopped.wait(self.beat):
                    return
                if self.store.add('over', 0):
                    self._leave()
                if self._late() > 0 and self.store.add('judges', 1) == 1:
                    self._judge()
        except RuntimeError:  # The first rank, or its machine, is gone.
            return

    def _guard(self) -> None:
        """End this rank where nobody else does."""
        while not self._stopped.wait(self.beat):
            if self._late() > 8 * self.beat:
                _tell('rank 0 gives no sign: its process or its machine has '
                      f'ended or stopped. Rank {self.rank} was at '
                      f'{doing(self.record())}, for more than '
                      f'{self.timeout:g} s (WatchdogHook.timeout), and ends')
                self._leave()

    def _late(self) -> float:
        return self.record()['seconds'] - self.timeout

    def _write(self) -> None:
        self._beats += 1
        record = dict(self.record(), beat=self._beats)
        self.store.set(str(self.rank), json.dumps(record))
        self.store.add(f'{self.rank} wrote', 1)

    def _read(self) -> dict[int, dict]:
        ranks = [
            rank for rank in range(self.world_size)
            if self.store.add(f'{rank} wrote', 0)
        ]
        return {rank: json.loads(self.store.get(str(rank))) for rank in ranks}

    def _judge(self) -> None:
        """Say whom the others wait for, unless it has moved meanwhile."""
        events = self.record()['events']
        before = self._read()
        for _ in range(3):
            time.sleep(self.beat)
            self._write()
        now = self._read()
        if self.record()['events'] != events:
            # Others may have counted themselves meanwhile, in vain.
            self.store.set('judges', '0')
            return
        _tell(verdict(before, now, self.world_size, self.timeout))
        self.store.add('over', 1)
        self._leave()

    def _leave(self) -> None:
        """End this process at once: its main thread may never come back."""
        if self.rank == 0:  # The others are yet to read it from its store.
            time.sleep(3 * self.beat)
        logging.shutdown()
        os._exit(1)


def _tell(message: str) -> None:
    print_log(message, 'current', logging.ERROR)


def _beat(timeout: float) -> float:
    """Seconds between two looks."""
    return min(timeout / 20, 5.0)
