"""AGVM's share of an iteration on many GPUs: a model, not a measurement.

An all-reduce of N bytes over p ranks is modelled as latency and bandwidth
(the alpha-beta model), and the better of two algorithms is taken:

- ring: ``base + 2 (p - 1) alpha + 2 (p - 1) / p N beta``
- tree: ``base + 2 log2(p) alpha + 2 N beta``

What AGVM computes on each rank keeps the share of an iteration that
``overhead`` measured on this machine; what it sends is what was counted.
"""
from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt

NUM_GPUS = tuple(2**k for k in range(3, 12))
PAPER = 0.0012  # of the training time, at interval 10; paper, section 4


class Network(NamedTuple):
    """A cluster's network and the training on it.

    Attributes:
        base (float): Seconds that any collective takes.
        alpha (float): Seconds of latency of one hop.
        bandwidth (float): Bytes per second of one GPU.
        iteration (float): Seconds of a training iteration.
    """
    base: float
    alpha: float
    bandwidth: float
    iteration: float

    def all_reduce(self, num_bytes: float, ranks: int) -> float:
        """Seconds of one all-reduce.

        Args:
            num_bytes (float): Of each rank's tensor.
            ranks (int): That take part.
        """
        if ranks < 2:
            return 0.0
        beta = 1 / self.bandwidth
        ring = 2 * (ranks - 1) * (self.alpha + num_bytes * beta / ranks)
        tree = 2 * math.log2(ranks) * self.alpha + 2 * num_bytes * beta
        return self.base + min(ring, tree)


def predict(overhead: dict, network: Network, interval: int) -> dict:
    """AGVM's share of an iteration at growing numbers of GPUs.

    Args:
        overhead (dict): What ``overhead`` found for one pipeline.
        network (Network): The network.
        interval (int): Updates between two measurements.

    Returns:
        dict: Share by scheme and number of GPUs; the scheme ``official`` is
        without what its other updates lose by all-reducing each parameter
        after the backward pass.
    """
    iteration = overhead['iteration_seconds']['plain']['median']
    counted = overhead['counted']
    ours = overhead['unmeasured_share']
    unmeasured = dict(replica=ours, half_batch=ours, official=0)
    shares: dict = {}
    for scheme in ('replica', 'half_batch', 'official'):
        local = overhead['local_seconds'][scheme]['median'] / iteration
        shares[scheme] = {}
        for ranks in NUM_GPUS:
            sent = _seconds(scheme, counted, network, ranks)
            once = local + sent / network.iteration
            rest = (interval - 1) * unmeasured[scheme]
            shares[scheme][str(ranks)] = (once + rest) / interval
    return shares


def _seconds(scheme: str, counted: dict, network: Network,
             ranks: int) -> float:
    """Of the messages of one measurement."""
    gradient = counted['gradient_bytes']
    half = ranks // 2
    if scheme == 'replica':
        return network.all_reduce(counted[scheme]['message_bytes'], ranks)
    scalars = network.all_reduce(counted[scheme]['message_bytes'] - gradient,
                                 ranks)
    if scheme == 'half_batch':
        return network.all_reduce(gradient, half) + scalars
    tensors = counted['num_parameters']
    each = network.all_reduce(gradient / tensors, half)
    gather = network.base + network.alpha + gradient / network.bandwidth
    factors = network.all_reduce(counted['replica']['message_bytes'], ranks)
    return tensors * each + gather + factors


def plot(shares: dict, title: str, out: Path) -> None:
    """Draw the shares against the number of GPUs.

    Args:
        shares (dict): From :func:`predict`.
        title (str): Of the figure.
        out (Path): PNG to write.
    """
    figure, axis = plt.subplots(figsize=(7, 4.5), layout='constrained')
    for scheme, by_ranks in shares.items():
        axis.plot([int(ranks) for ranks in by_ranks],
                  [100 * share for share in by_ranks.values()],
                  marker='o',
                  label=scheme)
    axis.axhline(
        100 * PAPER, color='grey', linestyle='--', label='paper, 128 GPUs')
    axis.set(
        xscale='log',
        yscale='log',
        xticks=NUM_GPUS,
        xlabel='GPUs',
        ylabel='share of the training time, %',
        title=title)
    axis.xaxis.set_major_formatter('{x:.0f}')
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(out, dpi=120)
    plt.close(figure)
