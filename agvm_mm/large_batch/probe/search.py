"""Finds the largest size that fits, by as few tries as doubling takes."""
from __future__ import annotations

from typing import Callable, NamedTuple, Sequence


class Found(NamedTuple):
    """What a search found.

    Attributes:
        fits (int, optional): The largest size that fits; None if none does.
        too_large (int, optional): The next larger size, which does not; None
            if all fit.
        tries (int): Of the search.
    """

    fits: int | None
    too_large: int | None
    tries: int


def largest_that_fits(fits: Callable[[int], bool],
                      sizes: Sequence[int]) -> Found:
    """Double until a size does not fit, then bisect.

    Sizes far above what fits are not tried: each try takes as long as it is
    large, and one that runs out of memory the longest.

    Args:
        fits (Callable[[int], bool]): Tries a size.
        sizes (Sequence[int]): Ascending, at least one.

    Returns:
        Found: Of these sizes.
    """
    good, bad, tries = -1, len(sizes), 0
    while bad - good > 1:
        if bad < len(sizes):
            index = (good + bad) // 2
        elif good < 0:
            index = 0
        else:
            within = [i for i in range(good + 1, bad)
                      if sizes[i] <= 2 * sizes[good]]
            index = within[-1] if within else good + 1
        tries += 1
        if fits(sizes[index]):
            good = index
        else:
            bad = index
    return Found(sizes[good] if good >= 0 else None,
                 sizes[bad] if bad < len(sizes) else None, tries)
