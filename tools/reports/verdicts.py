"""What a run's numbers say, in sentences: one function a rule.

docs/report.md states each rule with its limits. A function takes plain
numbers, and returns None where its rule has nothing to say.
"""
from __future__ import annotations

import math
import statistics
from typing import Mapping, Sequence, Tuple

# Factors within this of 1 change nothing that could be told from noise.
SETTLED = 0.02
# Of the measured updates, the part in which factors must have been settled.
LASTING = 0.2
# Of a rate, the largest change that is called small.
SMALL = 0.05
# Of its way to where variances send it, the part that a factor must have gone.
ARRIVED = 0.5
# How far apart variances are, largest over smallest, to be worth aligning.
APART = 2.0
# Of the time, the wait for data that is worth a look.
WAITING = 0.1
# How near its limit a factor is said to stand at it.
NEAR = 0.02
Trace = Sequence[Tuple[int, float]]  # updates, and values there


def batch_that_pays(scales: Mapping[str, float | None],
                    batch: int) -> str | None:
    """Which modules a batch still pays for.

    At batch B a module of noise scale B_i makes 1 / (1 + B_i / B) of the
    progress that an update can make at most (McCandlish et al., 2018).
    Beyond B = B_i that is more than half, and each further image adds less.

    Args:
        scales (Mapping[str, float | None]): Noise scale of each module, the
            median of the run's second half; None if it never showed one.
        batch (int): Samples of an update, that ran.
    """
    known = {m: s for m, s in scales.items() if s is not None}
    if not known:
        return None
    (first, least), *others = sorted(known.items(), key=lambda item: item[1])
    could = ', '.join([
        f'{first} could use a batch of {about(least)}',
        *(f'{module} {about(scale)}' for module, scale in others)
    ])
    pays = [module for module, scale in known.items() if scale >= batch]
    little = [module for module in known if module not in pays]
    if not little:
        what = f'{batch:,} pays for every module, and more would'
    elif pays:
        what = (f'{batch:,} still pays for {_listed(pays)}, and is past what '
                f'{_listed(little)} can use')
    else:
        what = (f'{batch:,} is past what any module can use; at '
                f'{about(max(known.values()))} an update would make half of '
                'the progress that it can make at all')
    silent = [module for module, scale in scales.items() if scale is None]
    shown = f' ({_listed(silent)} showed no signal)' if silent else ''
    return f'By their noise scales {could}{shown}: {what}.'


def largest_change(factors: Mapping[str, Trace],
                   allowed: tuple[float, float],
                   momentum: float = 0.0,
                   measurements: int = 1) -> str | None:
    """Whether AGVM changed the rates by enough to matter.

    Args:
        factors (Mapping[str, Trace]): Of each module's rate, over the run.
        allowed (tuple[float, float]): ``agvm.ratio_range``.
        momentum (float): ``agvm.momentum``. Defaults to 0.
        measurements (int): That were taken. Defaults to 1.
    """
    found = [(abs(math.log(value)), value, module, update)
             for module, trace in factors.items() for update, value in trace]
    if not found:
        return None
    if allowed[0] == allowed[1] == 1:
        return ('AGVM measured and changed no rate, as ratio_range=(1, 1) '
                'says.')
    _, value, module, update = max(found)
    most = max(abs(value - 1) for _, value, *_ in found)
    if most <= SMALL:
        said = f'AGVM changed no rate by more than {_percent_above(most)}'
        gone = 1 - momentum**measurements
        if gone < ARRIVED:
            return (f'{said}, but factors have gone {gone:.0%} of their way '
                    f'after {measurements:,} measurements: a longer run, or a '
                    'smaller agvm.interval, would tell whether you need it.')
        return f'{said}: at this batch you do not need it.'
    return (f'AGVM changed rates by up to {value:.2f} times ({module}, update '
            f'{update:,}).')


def settled(factors: Mapping[str, Trace], interval: int,
            end: int | None) -> str | None:
    """Whether, and from when on, all factors stayed at 1.

    Args:
        factors (Mapping[str, Trace]): Of each module's rate, over the run.
        interval (int): ``agvm.interval``.
        end (int, optional): ``agvm.end``.
    """
    updates = sorted(
        {update
         for trace in factors.values()
         for update, _ in trace})
    moved = [
        update for trace in factors.values() for update, value in trace
        if abs(value - 1) > SETTLED
    ]
    if not updates or not moved:
        return None  # largest_change says it
    later = [update for update in updates if update > max(moved)]
    lasting = LASTING * (updates[-1] - updates[0])
    if not later or updates[-1] - later[0] < lasting or (end is not None
                                                         and end <= later[0]):
        return None
    saved = (updates[-1] - later[0]) // interval
    return (f'After update {later[0]:,} all factors are within {SETTLED:.0%} '
            f'of 1: end={later[0]} saves the last {saved:,} measurements.')


def apart(gradients: float, steps: float, changed: bool) -> str:
    """How far apart the modules' variances were, and their steps' after AGVM.

    Args:
        gradients (float): The largest over the smallest of the medians.
        steps (float): The same of the steps.
        changed (bool): Whether AGVM changed rates.
    """
    said = (f"The variances of the modules' gradients were {gradients:.1f} "
            'times apart (largest over smallest median)')
    if changed:
        fared = 'closer' if steps < gradients else 'no closer'
        return (f'{said}, those of their steps {steps:.1f}: AGVM brought them '
                f'{fared}.')
    if gradients >= APART:
        return f'{said}: there is something to align, AGVM is worth a try.'
    return f'{said}: little to align.'


def at_the_limit(factors: Mapping[str, float],
                 allowed: tuple[float, float]) -> str | None:
    """Which factors ``ratio_range`` holds back.

    Args:
        factors (Mapping[str, float]): Median of each module's in the run's
            second half.
        allowed (tuple[float, float]): ``agvm.ratio_range``: of the squares.
    """
    low, high = (math.sqrt(limit) for limit in allowed)
    held = [
        f'{module} at {value:.2f}' for module, value in factors.items()
        if value <= low * (1 + NEAR) or value >= high * (1 - NEAR)
    ]
    if not held or allowed[0] == allowed[1]:
        return None
    return (f'The factor of {_listed(held)} stood at the limit that '
            f'ratio_range={tuple(allowed)} sets: AGVM would have changed it '
            'further.')


def skipped(count: int, due: int, why: str | None) -> str | None:
    """How many measurements that were due could not be taken.

    Args:
        count (int): Those.
        due (int): All that were due.
        why (str, optional): As the log told it.
    """
    if not count:
        return None
    reason = f': {why}' if why else ''
    return (f'{count:,} of {due:,} measurements that were due were not taken'
            f'{reason}.')


def measured_nothing(begin: int | None, end: int | None, updates: int) -> str:
    """Why there is nothing of AGVM's to show.

    Args:
        begin (int, optional): The first update to measure.
        end (int, optional): The first to be left alone again.
        updates (int): That were done.
    """
    if end is not None and end <= (begin or 0):
        return f'AGVM was off: end={end}.'
    first = '' if begin is None else f': it begins at update {begin:,}'
    return (f'AGVM measured nothing in {updates:,} updates{first}.')


def unfinished(updates: int, planned: int | None,
               log_interval: int) -> str | None:
    """Whether the training came to its end.

    Args:
        updates (int): That were done, as the log tells.
        planned (int, optional): Of the whole training.
        log_interval (int): Updates between two lines of the log, so that it
            may tell nothing of the last.
    """
    if planned is None or planned - updates < max(log_interval, 1):
        return None
    return f'The log ends at update {updates:,} of {planned:,}.'


def diverged(losses: Trace) -> str | None:
    """Whether the loss ceased to be a number.

    Args:
        losses (Trace): Over the run.
    """
    bad = [update for update, loss in losses if not math.isfinite(loss)]
    if not bad:
        return None
    return f'The loss is no number at update {bad[0]:,}: the run diverged.'


def waits_for_data(waits: Trace, times: Trace) -> str | None:
    """Whether the processes waited for their data.

    Args:
        waits (Trace): Seconds of each update until its data were there.
        times (Trace): Seconds of each update.
    """
    if not waits or not times:
        return None
    total = statistics.median(value for _, value in times)
    part = statistics.median(value for _, value in waits) / max(total, 1e-9)
    if part < WAITING:
        return None
    return (f'Of the time of an update {part:.0%} is the wait for data: more '
            'workers (train_dataloader.num_workers) would speed it up.')


def about(number: float) -> str:
    """A number with two digits that count, as an order of magnitude."""
    rounded = float(f'{number:.2g}')
    return f'{rounded:,.0f}' if rounded >= 10 else f'{rounded:g}'


def _percent_above(part: float) -> str:
    """Of a part the next whole per cent."""
    return f'{math.ceil(round(part * 100, 6))}%'


def _listed(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    return f'{", ".join(names[:-1])} and {names[-1]}'
