"""How often trainings were cut, by what."""
from __future__ import annotations

from collections import Counter

cuts: Counter[str] = Counter()


def count(kind: str) -> int:
    """One more cut.

    Args:
        kind (str): By what, and where.

    Returns:
        int: The cuts so far, of all kinds.
    """
    cuts[kind] += 1
    return sum(cuts.values())
