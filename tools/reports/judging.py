"""Applies the rules of verdicts.py to what was read."""
from __future__ import annotations

import re
from typing import Sequence

from . import comparisons, verdicts
from .run import Run
from .series import (
    median_of,
    noise_scales,
    points_of,
    second_half,
    spread,
    values_of,
)
from .worth import measured_range

REASON = re.compile(r'AGVM (?:could not measure .*? were due|cannot measure): '
                    r'(.*?)\. Learning-rate factors')


def judge(run: Run) -> list[str]:
    """What is to be said of a run, the most telling first.

    Args:
        run (Run): The run.
    """
    trained = values_of(run.rows, 'loss')
    said = [
        verdicts.diverged(trained),
        verdicts.unfinished(run.updates, run.planned, run.log_interval)
    ]
    if run.modules:
        said += _of_agvm(run)
    elif run.options:
        said += [
            verdicts.measured_nothing(run.begin, run.options[0]['end'],
                                      run.updates),
            verdicts.skipped(run.skipped, run.due, reason_of(run))
        ]
    said.append(
        verdicts.waits_for_data(run.seconds('data_time'), run.seconds()))
    return [sentence for sentence in said if sentence]


def _of_agvm(run: Run) -> list[str | None]:
    half = second_half(run.rows)
    factors = {m: points_of(run.rows, 'lr_scale', m) for m in run.modules}
    late = {m: median_of(half, 'lr_scale', m) for m in run.modules}
    scales = noise_scales(run.rows)
    known = [scale for scale in scales.values() if scale is not None]
    # A config that is not there states nothing: AGVM's defaults.
    options = run.options[0] if run.options else {}
    allowed = options.get('ratio_range', (0.5, 10.0))
    changed = any(
        abs(value - 1) > verdicts.SMALL for trace in factors.values()
        for _, value in trace)
    alone = tuple(allowed) == (1, 1)  # measured, and told to change nothing
    batch = run.total_batch
    return [
        verdicts.batch_that_pays(scales, batch) if batch else None,
        measured_range(min(known)) if batch and known else None,
        verdicts.largest_change(factors, allowed, *_way_of(run)),
        verdicts.apart(
            spread(run.rows, 'variance'), spread(run.rows), changed)
        if len(run.modules) > 1 and (changed or alone) else None,
        verdicts.settled(factors, options.get('interval', 1),
                         options.get('end')),
        verdicts.at_the_limit(
            {
                m: value
                for m, value in late.items() if value is not None
            }, allowed),
        verdicts.skipped(run.skipped, run.due, reason_of(run)),
    ]


def _way_of(run: Run) -> tuple[float, int]:
    """How much of a factor a measurement leaves, and those of a wrapper.

    Of several wrappers that which has gone least; without a config nothing is
    known of it.
    """
    if not run.options:
        return 0., 1
    taken = (run.due - run.skipped) // len(run.options)
    return max(options['momentum'] for options in run.options), taken


def reason_of(run: Run) -> str | None:
    """Why measurements were skipped, as the log last told it.

    Args:
        run (Run): The run.
    """
    told = [REASON.search(event.text) for event in run.journal.events]
    return next((found[1] for found in reversed(told) if found), None)


def compare(runs: Sequence[Run]) -> list[str]:
    """What the first of several runs and each other differ in.

    Args:
        runs (Sequence[Run]): Two at least.
    """
    first, *others = runs
    said = []
    for run in others:
        for metric in first.headlines:
            said.append(
                comparisons.metrics_apart(
                    metric, (first.title, run.title),
                    (first.final(metric), run.final(metric))))
        said.append(
            comparisons.speeds_apart((first.title, run.title),
                                     (first.speed(), run.speed())))
    said = [sentence for sentence in said if sentence]
    return [*said, comparisons.ONE_RUN_EACH] if said else []
