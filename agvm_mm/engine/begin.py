"""When AGVM begins: what ``begin='auto'`` becomes in a run."""
from __future__ import annotations

import logging
import math

from mmengine.logging import MessageHub, print_log

from agvm_mm.large_batch.settings import as_count
from agvm_mm.large_batch.warmup import (
    SETTLING,
    auto_begin,
    warm_up_updates,
)

from .clock import Clock
from .run_config import config_of_run


def settle_begin(clock: Clock, hub: MessageHub, name: str | None, *,
                 last_call: bool) -> None:
    """Find out when AGVM begins, tell it, and warn if that is no good time.

    Args:
        clock (Clock): Of the run; its ``begin`` is set if it is 'auto'.
        hub (MessageHub): The run's, into which a runner writes its config.
        name (str, optional): Of the optimizer wrapper in an
            ``OptimWrapperDict``.
        last_call (bool): Whether the runner must have told by now.

    Raises:
        ValueError: If ``begin='auto'`` finds no warm-up, or the run is too
            short for it.
    """
    cfg = config_of_run(hub)
    iterations = clock.iterations or hub.get_info('max_iters')
    if clock.end > 0 and cfg is not None and iterations:
        epochs = as_count((cfg.get('train_cfg') or {}).get('max_epochs'))
        if clock.begin == 'auto':
            clock.begin = auto_begin(cfg, iterations, epochs,
                                     clock.micro_batches, name)
            print_log(
                f'AGVM begins at update {clock.begin}: the end of the warm-up '
                '+ 100. agvm.begin sets another one.',
                logger='current')
        elif clock.updates == 0:
            warm_up = warm_up_updates(cfg, iterations // (epochs or 1),
                                      clock.micro_batches, name)
            for doubt in in_warm_up(clock.begin, warm_up):
                _warn(doubt)
    elif clock.begin == 'auto' and clock.end > 0 and last_call:
        raise ValueError(
            "agvm.begin='auto' reads the warm-up from the config of the run, "
            'but no runner has told one that can be read back: set agvm.begin '
            'to the update at which the warm-up ends, + 100')
    if clock.begin != 'auto' and (iterations or last_call):
        last = clock.end
        if iterations:
            last = min(last, math.ceil(iterations / clock.micro_batches))
        for doubt in nothing_measured(clock.begin, last):
            _warn(doubt)


def in_warm_up(begin: int, warm_up: int | None) -> list[str]:
    """What to say of a ``begin`` that comes too early.

    Args:
        begin (int): The update at which AGVM begins.
        warm_up (int, optional): That at which the warm-up ends; None without
            one.

    Returns:
        list[str]: One sentence; none if there is nothing to be said.
    """
    if warm_up is None or begin >= warm_up:
        return []
    return [
        f'agvm.begin={begin} lies inside of the warm-up, which ends at update '
        f'{warm_up}: gradients change too fast there for AGVM to follow. Set '
        f'it to {warm_up + SETTLING}, or leave it out.'
    ]


def nothing_measured(begin: int, end: float) -> list[str]:
    """What to say of a ``begin`` that comes too late.

    Args:
        begin (int): The update at which AGVM begins.
        end (float): The first one that it leaves alone again.

    Returns:
        list[str]: See :func:`in_warm_up`.
    """
    if begin < end:
        return []
    return [
        f'AGVM will do nothing: agvm.begin={begin}, but agvm.end or the end '
        f'of the training is {end}. Set agvm.begin below it, unless AGVM is '
        'meant to be off.'
    ]


def _warn(message: str) -> None:
    print_log(message, logger='current', level=logging.WARNING)
