r"""The gradient variance of a module, and its gradient noise scale.

Notation, as in the paper (arXiv 2210.11078, section 3) and used below:

- ``g_r``: replica r's gradient of a module, one of ``num_replicas`` (n);
- ``G``: their mean, which is what the optimizer sees;
- ``G1``, ``G2``: the means over the first and the second half of the replicas;
- ``Phi``: the normalised gradient variance, 1 - cos(G1, G2), in [0, 2].

**Replicas of unequal size.** With ``b_r`` the samples of replica r, ``B``
their sum, ``p_r = b_r / B`` and ``w_r = n p_r``, the loss of r is multiplied
by ``w_r``, so that ``G``, the mean of ``w_r g_r``, is the mean over samples.
With ``mu`` the true gradient and ``T`` the trace of the covariance of one
sample's gradient::

    E |g_r|^2 = |mu|^2 + T / b_r,    E |G|^2 = |mu|^2 + T / B
    T = B (sum_r p_r |g_r|^2 - |G|^2) / (n - 1), unbiased

So with ``sum_sq = sum_r w_r |g_r|^2`` in the place of ``sum_r |g_r|^2``, which
it is for equal replicas, all formulas below hold with ``b = B / n``. In the
half-batch estimator each half's mean is of its samples.

Replicas of unequal size whose losses are not weighted need no change: ``G`` is
then the mean over replicas, ``T / b_r`` has the mean
``S = T mean_r(1 / b_r)``, which the formula without weights estimates
unbiasedly, and Phi is that of the update as it is made. Only the noise scale
would need the harmonic mean of ``b_r`` for b, and takes the arithmetic one.

The paper's Phi carries the factor eta^2, the squared learning rate; it is
common to all modules and cancels in every ratio that AGVM takes.

Everything here is arithmetic on tensors; who computes the sums, and on which
processes, is the business of ``agvm_mm.measuring``.
"""
from __future__ import annotations

from typing import Sequence

import torch
from torch import Tensor


def replica_covariance(sum_sq: Tensor, mean_sq: Tensor,
                       num_replicas: int) -> Tensor:
    r"""Estimate the trace S of a replica's gradient covariance, unbiasedly.

    .. math:: S = \Bigl(\sum_r |g_r|^2 - n |G|^2\Bigr) / (n - 1)

    Args:
        sum_sq (Tensor): sum over replicas of ``|g_r|^2``, of any shape (one
            element a module, usually).
        mean_sq (Tensor): ``|G|^2``, of the same shape.
        num_replicas (int): n, at least 2.

    Returns:
        Tensor: S, of the same shape, not negative; non-finite where a sum is.

    Raises:
        ValueError: If ``num_replicas`` is below 2.
    """
    if num_replicas < 2:
        raise ValueError('a variance needs num_replicas >= 2, but got '
                         f'{num_replicas}')
    # Rounding alone can make the difference of equal sums negative.
    spread = (sum_sq - num_replicas * mean_sq).clamp(min=0)
    # And a mean that overflowed, as it can alone, leaves nothing to compare.
    return spread.where(mean_sq.isfinite(), torch.nan) / (num_replicas - 1)


def replica_variance(sum_sq: Tensor, mean_sq: Tensor,
                     num_replicas: int) -> Tensor:
    r"""Estimate Phi over all equal splits of the replicas at once.

    .. math:: \Phi = \frac{2 S / n}{|G|^2 + S / n}

    Over random halves the numerator estimates ``E|G1 - G2|^2 / 2`` and the
    denominator ``E(|G1|^2 + |G2|^2) / 2``; for halves of equal norm the
    quotient is 1 - cos(G1, G2). At n = 2 it is ``|g1 - g2|^2 / (|g1|^2 +
    |g2|^2)`` exactly.

    Args:
        sum_sq (Tensor): sum over replicas of ``|g_r|^2``, of any shape.
        mean_sq (Tensor): ``|G|^2``, of the same shape.
        num_replicas (int): n, at least 2.

    Returns:
        Tensor: Phi in [0, 2], of the same shape; NaN where every replica's
        gradient is zero, non-finite where one is.

    Raises:
        ValueError: If ``num_replicas`` is below 2.
    """
    mean_cov = replica_covariance(sum_sq, mean_sq, num_replicas) / num_replicas
    return 2 * mean_cov / (mean_sq + mean_cov)


def half_batch_variance(g1: Tensor, g2: Tensor) -> Tensor:
    """Compute Phi = 1 - cos(G1, G2), the paper's estimator (section 3.2).

    Args:
        g1 (Tensor): G1, of any shape and any positive scale.
        g2 (Tensor): G2, of the same shape.

    Returns:
        Tensor: Phi in [0, 2], a scalar; NaN if either half is zero,
        non-finite if either is.
    """
    # |u - v|^2 / 2 for unit vectors: 1 - u.v would lose a small Phi in
    # rounding.
    unit1 = g1 / torch.linalg.vector_norm(g1)
    unit2 = g2 / torch.linalg.vector_norm(g2)
    return torch.linalg.vector_norm(unit1 - unit2).square() / 2


class NoiseScale:
    r"""The gradient noise scale of each module, smoothed.

    .. math:: B = \frac{S\,b}{|\mu_g|^2}, \quad |\mu_g|^2 = |G|^2 - S / n

    with b the samples of one replica (McCandlish et al. 2018, *An Empirical
    Model of Large-Batch Training*, appendix A.1): the batch, in samples,
    beyond which a module gains little. Both parts are unbiased but noisy, and
    their quotient is neither, so the parts are smoothed and then divided.

    Args:
        modules (Sequence[str]): The modules' names.
        momentum (float): Of the moving averages, in [0, 1).
    """

    def __init__(self, modules: Sequence[str], *, momentum: float) -> None:
        self.modules = list(modules)
        self.momentum = momentum
        # Both averages start at 0: their common bias cancels in the quotient.
        self.noise = torch.zeros(len(self.modules), dtype=torch.float64)
        self.signal = torch.zeros(len(self.modules), dtype=torch.float64)

    def update(self, sum_sq: Tensor, mean_sq: Tensor, num_replicas: int,
               samples_per_replica: float) -> None:
        """Take in one measurement.

        Args:
            sum_sq (Tensor): sum over replicas of ``|g_r|^2``, one element a
                module.
            mean_sq (Tensor): ``|G|^2``, likewise.
            num_replicas (int): n, at least 2.
            samples_per_replica (float): b, the mean over replicas.
        """
        covariance = replica_covariance(sum_sq, mean_sq, num_replicas)
        noise = covariance * samples_per_replica
        signal = mean_sq - covariance / num_replicas
        measured = torch.isfinite(noise) & torch.isfinite(signal)
        self.noise = torch.where(measured,
                                 torch.lerp(noise, self.noise, self.momentum),
                                 self.noise)
        self.signal = torch.where(
            measured, torch.lerp(signal, self.signal, self.momentum),
            self.signal)

    def values(self) -> dict[str, float]:
        """B in samples, where the smoothed ``|mu_g|^2`` is positive."""
        return {
            module: noise / signal
            for module, noise, signal in zip(self.modules, self.noise.tolist(),
                                             self.signal.tolist())
            if signal > 0
        }

    def state_dict(self) -> dict[str, dict[str, float]]:
        """The smoothed S b, as ``noise``, and ``|mu_g|^2``, as ``signal``."""
        return {
            'noise': dict(zip(self.modules, self.noise.tolist())),
            'signal': dict(zip(self.modules, self.signal.tolist())),
        }

    def load_state_dict(self, state: dict[str, dict[str, float]]) -> None:
        """Take the sums of the modules that both sides know by name."""
        for i, module in enumerate(self.modules):
            if module in state['noise']:
                self.noise[i] = state['noise'][module]
                self.signal[i] = state['signal'][module]
