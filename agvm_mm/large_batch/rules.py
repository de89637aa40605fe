"""How hyper-parameters follow the total batch, one class a rule.

With k = new total / old total. Another split of the same total, by
accumulation, changes none of them: that is :func:`~agvm_mm.large_batch.
resolve`'s work.
"""
from __future__ import annotations

import abc
import math

from .settings import check_count


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


class Rule:
    """Takes hyper-parameters from one total batch to another.

    Args:
        batch (int): The total batch that they were found at.
        total_batch_size (int): The total batch that needs them.

    Raises:
        ValueError: If one of them is no int >= 1.
    """

    def __init__(self, batch: int, total_batch_size: int) -> None:
        for value in (batch, total_batch_size):
            check_count('total_batch_size', value)
        self.batch = batch
        self.total_batch_size = total_batch_size

    @property
    def k(self) -> float:
        """New total / old total."""
        return self.total_batch_size / self.batch


class RateRule(Rule, abc.ABC):
    """A rule of the learning rate, and of what goes with it."""

    #: As ``plan.py --rule`` names it.
    name = ''
    #: Whose rule it is.
    source = ''

    @abc.abstractmethod
    def lr(self, lr: float) -> float:
        """The learning rate of the new total batch.

        Args:
            lr (float): That of the old one.
        """

    def beta(self, beta: float) -> float:
        """The decay of a moving average in the optimizer.

        Args:
            beta (float): At the old total batch.
        """
        return beta

    def eps(self, eps: float) -> float:
        """What the optimizer adds to its divisor.

        Args:
            eps (float): At the old total batch.
        """
        return eps


class LinearRule(RateRule):
    """SGD's rule: lr by k, momentum as it is.

    k updates with lr, in each of which the gradient is nearly the same, move
    the weights as one with k * lr does (Goyal et al., 2017,
    https://arxiv.org/abs/1706.02677). It also keeps the noise of SGD's
    stochastic differential equation, as long as lr is small against the
    curvature; with a warm-up it held up to batch 8,192 on ImageNet.
    """

    name = 'linear'
    source = 'Goyal et al., 2017'

    def lr(self, lr: float) -> float:
        """See :class:`RateRule`."""
        return linear_lr(lr, self.batch, self.total_batch_size)


class SquareRootRule(RateRule):
    """lr by sqrt(k), and nothing else of the optimizer.

    It keeps the variance of an update (Krizhevsky, 2014,
    https://arxiv.org/abs/1404.5997); LAMB takes it (You et al., 2020,
    https://arxiv.org/abs/1904.00962), and the official AGVM configs do above
    batch 128.
    """

    name = 'square-root'
    source = 'Krizhevsky, 2014; You et al., 2020'

    def lr(self, lr: float) -> float:
        """See :class:`RateRule`."""
        return square_root_lr(lr, self.batch, self.total_batch_size)


class AdamRule(SquareRootRule):
    """Adam's and RMSprop's: lr by sqrt(k), 1 - beta by k, eps by 1/sqrt(k).

    It keeps the stochastic differential equation that Adam's updates follow
    where the gradient is mostly noise (Malladi et al., 2022,
    https://arxiv.org/abs/2205.10287, 'Square Root Scaling Rule'). Derived for
    betas near 1, and possible only while k * (1 - beta) < 1: from 0.9 on less
    than ten times the batch.
    """

    name = 'adam'
    source = 'Malladi et al., 2022'

    def beta(self, beta: float) -> float:
        """See :class:`RateRule`.

        Raises:
            ValueError: If nothing of it would be left.
        """
        if beta == 0:
            return beta  # It averages nothing.
        scaled = 1 - self.k * (1 - beta)
        if scaled < 1e-9:
            most = math.ceil(round(self.batch / (1 - beta), 6)) - 1
            raise ValueError(
                f'total_batch_size={self.total_batch_size} is '
                f'{self.k:.4g} times {self.batch}, and the rule of Adam would '
                f'turn beta={beta} into 1 - {self.k:.4g} x {1 - beta:.4g}, '
                f'which is not above 0: take {most} at most, or the '
                "rule 'square-root', which leaves the betas as they are")
        return scaled

    def eps(self, eps: float) -> float:
        """See :class:`RateRule`."""
        return eps / math.sqrt(self.k)


class DecayRule(Rule):
    """A weight decay that shrinks the weights as much an image.

    An update shrinks them by lr * weight_decay, of which there are k times
    fewer, so that product goes by k (Krizhevsky, 2014, section 5; for AdamW
    Wang and Aitchison, 2024, https://arxiv.org/abs/2405.13698). With the
    linear rule the weight decay stays, with a square root it goes by sqrt(k).
    """

    def weight_decay(self, weight_decay: float, lr: float,
                     new_lr: float) -> float:
        """The weight decay of the new total batch.

        Args:
            weight_decay (float): That of the old one.
            lr (float): The learning rate of the old one.
            new_lr (float): The learning rate of the new one.
        """
        return weight_decay * (self.k * lr / new_lr)


class CountRule(Rule):
    """Counts of updates that are meant as images: by 1/k, rounded up."""

    def updates(self, updates: int) -> int:
        """As many images, in updates of the new total batch.

        Args:
            updates (int): Of the old one.
        """
        return -(-updates * self.batch // self.total_batch_size)


class EMARule(Rule):
    """An average of the weights that looks as many images back.

    The weight that an averaging leaves the old average goes to the power k
    (Busbridge et al., 2023, https://arxiv.org/abs/2307.13813). MMEngine's
    ``momentum`` is the other one, the weight of the new value.
    """

    def momentum(self, momentum: float) -> float:
        """The weight of the new value, at the new total batch.

        Args:
            momentum (float): At the old one.

        Raises:
            ValueError: If it is no number in (0, 1).
        """
        if not isinstance(momentum, float) or not 0 < momentum < 1:
            raise ValueError(f'momentum={momentum!r} of an average of weights '
                             'must be a number in (0, 1)')
        return -math.expm1(self.k * math.log1p(-momentum))
