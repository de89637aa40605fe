"""The measurement of one update, from its first backward pass to its step.

A replica is one micro-batch on one data-parallel rank: with R ranks and M
micro-batches an update has n = R * M of them, and the same samples give the
same sums, however they are split over ranks and micro-batches.

Replicas of unequal size have weights w_r, n times their share of the update's
samples, by which their losses were multiplied. A replica's sum of squares is
then w_r |g_r|^2, of which the gradient that is seen, w_r g_r, gives w_r times
as much; see ``algorithm/variance.py``.

Everything stays on the gradient's device until :meth:`Measurement.finish`,
which sends one message between the ranks and makes one copy to the host.
"""
from __future__ import annotations

from contextlib import contextmanager
from typing import Hashable, Iterator, NamedTuple, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from agvm_mm.algorithm.variance import replica_variance

from .direction import Gradient, chunks, dense, squared_norms, unscaled
from .gradient_buffer import GradientBuffer
from .replicas import Replicas


class Sums(NamedTuple):
    """What a measured update tells, one element a module, equal on all ranks.

    Attributes:
        num_replicas (int): n, ranks x micro-batches.
        num_samples (float): Images in the whole update; 0 if they could not
            be counted.
        sum_sq (Tensor): sum over replicas of w_r |g_r|^2, float64 on the CPU.
        mean_sq (Tensor): |G|^2, float64 on the CPU.
        variance (Tensor): Phi by the chosen estimator, float64 on the CPU.
    """
    num_replicas: int
    num_samples: float
    sum_sq: Tensor
    mean_sq: Tensor
    variance: Tensor


class Measurement:
    """Takes the sums of one update; then it is thrown away.

    Args:
        replicas (Replicas): Where the gradients come from.
        micro_batches (int): How many the update will have on each rank.
        inverse_scale (Tensor, optional): 1 / the loss scale that gradients
            carry, a scalar on their device. It is taken out before anything
            is squared: squares of scaled gradients leave the range of single
            precision long before the gradients do.

    Attributes:
        completed (int): Micro-batches that this rank has completed.
        failed (str, optional): Why there is nothing to be told of this update.
        inverse_scale (Tensor, optional): As above; to be set to None if it is
            out of ``.grad`` before the step, as for a clipping of one's own.
    """

    def __init__(self, replicas: Replicas, micro_batches: int,
                 inverse_scale: Tensor | None) -> None:
        self.completed = 0
        self.failed: str | None = None
        self.inverse_scale = inverse_scale
        self._replicas = replicas
        self._micro_batches = micro_batches
        self._parameters = replicas.parameters()
        self._num_samples = 0
        self._sum_sq = torch.zeros(
            replicas.num_modules,
            dtype=torch.float64,
            device=self._parameters[0].tensor.device)
        self._half = replicas.half_batch(self._parameters)
        # A replica that may go on with the next backward pass.
        self._open: GradientBuffer | None = None
        self._last: Hashable = None
        self._weight = 1.0

    @contextmanager
    def observe(self, loss: Tensor, micro_batch: Hashable, num_samples: int,
                weight: float) -> Iterator[None]:
        """Measure the one backward pass that runs in this context.

        Args:
            loss (Tensor): What the backward pass starts from.
            micro_batch (Hashable, optional): The micro-batch that the pass is
                part of: passes of the same one add up to one replica, in a
                buffer of the gradient's size. None if the pass is all of its
                micro-batch.
            num_samples (int): Samples of the pass; 0 if they could not be
                counted.
            weight (float): What the loss of the micro-batch was multiplied by.
        """
        continues = micro_batch is not None and micro_batch == self._last
        self._last = micro_batch
        if not continues:
            self._close()
        self._weight = weight
        if not self._replicas.joins_passes:
            if continues:
                self.failed = ('under FSDP a micro-batch must be one backward '
                               'pass, but one had several')
        elif micro_batch is not None and self._open is None:
            self._open = GradientBuffer(self._parameters)
        try:
            with self._replicas.watch(loss, self._parameters, self._take,
                                      self.inverse_scale, weight) as complete:
                yield
        except BaseException:
            self.failed = 'a backward pass of it failed'
            raise
        self._num_samples += num_samples
        if self._open is None:
            self.completed += complete()

    def finish(self) -> Sums | None:
        """Complete the sums, once ``.grad`` holds the mean over the replicas.

        A collective: every rank must call it, whatever has failed on it.

        Returns:
            Sums or None: None if the update has a single replica, as the last
            one of a run may have. If it failed, on any rank, the sums are NaN.
        """
        self._close()
        replicas = self._replicas
        num_replicas = replicas.num_ranks * self.completed
        if replicas.num_ranks == 1 and num_replicas < 2:
            return None
        mean = [(p, dense(p.tensor.grad)) for p in self._parameters
                if p.tensor.grad is not None]
        # .grad is the mean of the replicas, so a replica's gradient is as many
        # times what its own backward contributed as there are micro-batches.
        columns = [
            self._sum_sq * self.completed**2,
            self._squares(mean) / replicas.mean_copies,
        ]
        if self._half is not None:
            variance = self._half.variance(replicas.optimizer, mean,
                                           self.inverse_scale,
                                           replicas.num_modules)
            columns.append(variance / replicas.num_ranks)
        if self.failed:
            columns[0].fill_(float('nan'))
        samples = self._sum_sq.new_full((1, ), self._num_samples)
        # mean_sq and Phi are the same on all ranks but for rounding; averaged,
        # they are the same to the bit, and so is every rank's learning rate.
        message = torch.cat([*columns, samples])
        if replicas.num_ranks > 1:
            dist.all_reduce(message)
        *columns, samples = _to_host(message).split(
            [replicas.num_modules] * len(columns) + [1])
        sum_sq, mean_sq = columns[:2]
        if self._half is not None:
            variance = torch.where(sum_sq.isnan(), sum_sq, columns[2])
        else:
            variance = replica_variance(sum_sq, mean_sq, max(num_replicas, 2))
        return Sums(num_replicas, samples.item(), sum_sq, mean_sq, variance)

    def _take(self, gradients: list[Gradient], weight: float) -> None:
        # Halves are halves of the ranks or, on one rank, of micro-batches.
        if self._half is not None and (
                self._replicas.num_ranks > 1
                or self.completed < self._micro_batches // 2):
            self._half.buffer.add(gradients)
        if self._open is not None:
            self._open.add(gradients)
        else:
            self._add_squares(self._sum_sq, gradients, weight)

    def _close(self) -> None:
        """End the replica that was kept open for another backward pass."""
        if self._open is not None:
            for chunk in chunks(self._open.gradients()):
                self._add_squares(self._sum_sq, chunk, self._weight)
            self._open = None
            self.completed += 1

    def _squares(self, gradients: Sequence[Gradient]) -> Tensor:
        """Squared norms by module, of gradients that carry the loss scale."""
        sums = torch.zeros_like(self._sum_sq)
        # In chunks, as the replicas' own.
        for chunk in chunks(gradients):
            self._add_squares(sums, unscaled(chunk, self.inverse_scale))
        return sums

    def _add_squares(self,
                     sums: Tensor,
                     gradients: Sequence[Gradient],
                     weight: float = 1.0) -> None:
        for module, square in squared_norms(self._replicas.optimizer,
                                            gradients):
            sums[module].add_(square, alpha=1 / weight)


def _to_host(message: Tensor) -> Tensor:
    """The one copy to the host, and the one time that it waits."""
    return message.cpu()
