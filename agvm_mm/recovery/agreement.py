"""What all ranks know, and none has to wait for."""
from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from mmengine.dist import get_world_size


class Agreement:
    """Tells all ranks the largest number that any of them gave.

    It goes over gloo beside the training, on the CPU: nobody waits for a GPU.
    In a single process it sends nothing. All methods are to be called by all
    ranks, in the same order.

    Raises:
        RuntimeError: If the ranks cannot reach each other by gloo.
    """

    def __init__(self) -> None:
        self._group = None
        self._work: Any = None
        self._number = torch.zeros(1, dtype=torch.int32)
        if get_world_size() > 1:
            try:
                self._group = dist.new_group(backend='gloo')
            except RuntimeError as error:
                raise RuntimeError(
                    'the ranks cannot agree on when to stop, as gloo does '
                    f'not connect them: {error}\nSet GLOO_SOCKET_IFNAME to '
                    'the network interface between the machines, or switch '
                    'it off by recovery=dict(preemption=False)') from error

    def ask(self, number: int) -> None:
        """Give a number, and go on.

        Args:
            number (int): Of this rank, from 0 on.
        """
        self._number.fill_(number)
        if self._group is not None:
            self._work = dist.all_reduce(
                self._number,
                dist.ReduceOp.MAX,
                group=self._group,
                async_op=True)

    def answer(self) -> int:
        """The largest number of the last :meth:`ask`."""
        if self._work is not None:
            self._work.wait()
            self._work = None
        return int(self._number)

    def least(self, number: int) -> int:
        """The smallest number that any rank gives; it waits for all.

        Args:
            number (int): Of this rank.
        """
        self.ask(-number)
        return -self.answer()

    def meet(self) -> None:
        """Wait until all ranks are here."""
        self.least(0)

    def close(self) -> None:
        """Give the connections up."""
        if self._group is not None:
            dist.destroy_process_group(self._group)
            self._group = None
