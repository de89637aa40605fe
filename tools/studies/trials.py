"""The trials of a protocol: pairs of a learning rate and a horizon.

Who compares methods has to give each the same tuning budget, drawn in the same
way (Dahl et al. 2023, https://arxiv.org/abs/2306.07179, section 4); and a
large batch needs a horizon of its own (Shallue et al. 2019,
https://arxiv.org/abs/1811.03600).
"""
from __future__ import annotations

import math
from typing import Any, Mapping, Sequence

from scipy.stats import qmc


def unit_points(count: int, seed: int) -> list[tuple[float, float]]:
    """Points that fill the unit square evenly, whatever their number.

    The first ones stay the same when there are to be more.

    Args:
        count (int): How many.
        seed (int): Of the scrambling.
    """
    # Sobol's sequence is balanced in powers of 2; of those that scipy draws
    # it is also the one that is the same in all of its versions.
    power = math.ceil(math.log2(count))
    drawn = qmc.Sobol(2, seed=seed).random_base2(power)[:count]
    return [(float(x), float(y)) for x, y in drawn]


def trials(protocol: Mapping[str, Any], method: str,
           batch: int) -> list[tuple[float, int]]:
    """The trials of a method at a batch: the same points for all of them.

    Args:
        protocol (Mapping): The study's.
        method (str): With a range of ``rate``, at the small batch. It grows
            with the square root of the batch.
        batch (int): With a range of ``horizon``.

    Returns:
        list[tuple[float, int]]: Learning rates, to three digits; and updates,
        a multiple of the validations.
    """
    scale = math.sqrt(batch / protocol['small_batch'])
    every = protocol['validations']
    points = unit_points(protocol['trials'], protocol['trials_seed'])
    return [
        (float(f'{scale * _between(protocol["rate"][method], x):.3g}'),
         every * round(_between(protocol['horizon'][batch], y) / every))
        for x, y in points
    ]  # yapf: disable


def _between(ends: Sequence[float], share: float) -> float:
    """A value between two, by its share of their distance in logarithms."""
    low, high = ends
    return low * (high / low)**share
