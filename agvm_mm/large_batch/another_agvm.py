"""AGVM's options, at another total batch."""
from __future__ import annotations

from typing import Callable

from mmengine.config import Config

from .plan import epoch_updates
from .rules import CountRule
from .settings import wrappers_of
from .warmup import warm_up_updates

# The paper's interval, and the total batch above which it is the second.
INTERVALS, MANY = (10, 5), 1024


def scale_agvm(cfg: Config, before: Config) -> None:
    """Let AGVM begin, and clipping be in force, where they are meant to.

    What settles after the warm-up settles in updates, so their distance to its
    end stays. Where no warm-up is stated they come after as many images.

    Args:
        cfg (Config): At its new total batch, but for AGVM. It is changed.
        before (Config): The same at the old one.

    Raises:
        FileNotFoundError: If the warm-up is stated in epochs, and the images
            of one are not known.
    """
    batch, total = before.total_batch_size, cfg.total_batch_size
    counts = CountRule(batch, total)
    for name, wrapper in wrappers_of(cfg).items():
        agvm = wrapper.get('agvm')
        if not isinstance(agvm, dict):
            continue
        begin = agvm.get('begin', 'auto')
        clip = wrapper.get('clip_grad_range')
        if isinstance(begin, int) or clip is not None:
            old, new = (_warm_up(c, name) for c in (before, cfg))
            move = _mover(old, new, counts)
            if isinstance(begin, int):
                agvm['begin'] = move(begin)
            if clip is not None:
                first, last = map(move, clip)
                wrapper['clip_grad_range'] = (first, max(last, first + 1))
        if agvm.get('end'):
            agvm['end'] = counts.updates(agvm['end'])
        few, many = (INTERVALS[n > MANY] for n in (batch, total))
        if agvm.get('interval', INTERVALS[0]) == few != many:
            agvm['interval'] = many


def _mover(old: int | None, new: int | None,
           counts: CountRule) -> Callable[[int], int]:
    """The function from an update before to an update after."""

    def move(update: int) -> int:
        if old is None or new is None:
            return counts.updates(update)
        return max(0, new + update - old)

    return move


def _warm_up(cfg: Config, name: str | None) -> int | None:
    """The end of the warm-up; None if there is none."""
    try:
        return warm_up_updates(cfg, None, 1, name)
    except ValueError:  # it is stated in epochs
        return warm_up_updates(cfg, epoch_updates(cfg), 1, name)
