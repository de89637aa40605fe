"""What a noise scale is worth, by branched trainings that measured it."""
from __future__ import annotations

from .verdicts import about

# The critical batch over the smallest of the modules' noise scales, at a loss
# of 2%: the lowest and the highest of docs/study-branches.md.
LOWEST, HIGHEST = 0.23, 8.6


def measured_range(smallest: float) -> str:
    """Where the largest batch that costs little loss may lie.

    Args:
        smallest (float): The smallest of the modules' noise scales, in
            samples.

    Returns:
        str: A sentence.
    """
    return (
        'Where it was measured, the largest batch that cost at most 2% of the '
        f'loss was {LOWEST:g} to {HIGHEST:g} times the smallest noise scale, '
        f'so here anything from {about(smallest * LOWEST)} to '
        f'{about(smallest * HIGHEST)}; study.py branch measures it.')
