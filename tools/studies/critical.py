"""The critical batch: the largest one that costs no loss.

Merrill et al. (2025, https://arxiv.org/abs/2505.23971) measure it so: the same
training goes on at several batches for the same number of images, and what
the noise scale foretells is seen.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Mapping


@dataclass(frozen=True)
class CriticalBatch:
    """Where batches begin to cost loss, in samples of one update.

    Attributes:
        within (int): The largest batch whose loss, and that of every smaller
            one, is within the tolerance.
        beyond (int, optional): The next larger one that was tried, whose loss
            is not; None if there is none, so that ``within`` is a lower
            bound.
        estimate (float): Where the loss, between these two, reaches the
            tolerance: linear in the logarithm of the batch. ``within`` where
            ``beyond`` is None.
    """
    within: int
    beyond: int | None
    estimate: float

    def __str__(self) -> str:
        """As a table shows it."""
        if self.beyond is None:
            return f'{self.within:,} or more'
        return f'{self.estimate:,.0f} ({self.within:,} to {self.beyond:,})'


def critical_batch(losses: Mapping[int, float],
                   tolerance: float) -> CriticalBatch:
    """Find the critical batch.

    Args:
        losses (Mapping[int, float]): Loss after the same images by batch, for
            two batches or more. One that is not finite has diverged, and is
            beyond.
        tolerance (float): Share of the smallest batch's loss by which another
            may be above it, > 0.

    Raises:
        ValueError: If there is nothing to compare, or the smallest batch's
            loss is not positive and finite.
    """
    if len(losses) < 2:
        raise ValueError(f'losses are of the batches {[*losses]}: a critical '
                         'batch is found among two or more')
    if tolerance <= 0:
        raise ValueError(f'tolerance={tolerance} must be > 0, as 0.02')
    batches = sorted(losses)
    smallest = losses[batches[0]]
    if not (math.isfinite(smallest) and smallest > 0):
        raise ValueError(
            f'the loss at the smallest batch, {batches[0]}, is {smallest}: '
            'nothing can be compared with it; begin at a checkpoint whose '
            'training does not diverge')
    limit = smallest * (1 + tolerance)
    within = batches[0]
    for batch in batches[1:]:
        if losses[batch] <= limit:  # Not so of a NaN.
            within = batch
            continue
        return CriticalBatch(within, batch,
                             _between(losses, within, batch, limit))
    return CriticalBatch(within, None, float(within))


def _between(losses: Mapping[int, float], within: int, beyond: int,
             limit: float) -> float:
    """The batch at which the loss reaches the limit."""
    rise = losses[beyond] - losses[within]
    if not math.isfinite(rise):
        return float(within)
    share = (limit - losses[within]) / rise
    return within * (beyond / within)**share
