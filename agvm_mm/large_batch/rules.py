"""Learning rates of other batches, by the rules that are in use."""
from __future__ import annotations

import math


def linear_lr(lr: float, batch: int, total_batch_size: int) -> float:
    """The linear rule (Goyal et al., 2017): lr proportional to the batch.

    Args:
        lr (float): Learning rate of the reference.
        batch (int): Total batch of the reference.
        total_batch_size (int): The total batch that needs a learning rate.
    """
    return lr * total_batch_size / batch


def square_root_lr(lr: float, batch: int, total_batch_size: int) -> float:
    """The square-root rule (Krizhevsky, 2014): lr^2 proportional to the batch.

    The official AGVM configs follow it, from 0.08 at 32.

    Args:
        lr (float): Learning rate of the reference.
        batch (int): Total batch of the reference.
        total_batch_size (int): The total batch that needs a learning rate.
    """
    return lr * math.sqrt(total_batch_size / batch)
