"""The paper's claims beside what the study found, claim by claim.

A difference counts if it is at least twice its standard error over seeds;
variances of the step count as aligned if the largest module's is within twice
the smallest's over the first half of the training.
"""
from __future__ import annotations

import math
import statistics
from typing import Dict, Iterator, List, NamedTuple, Sequence

from .cells import BASELINE, Cell, cells, difference, mean, variances
from .tables import percent, with_deviation

ALIGNED = 2.0
ERRORS = 2.0
# With AGVM, without, and the others that the paper compares with.
OURS, PLAIN = 'agvm-sgd', 'sgd'
OPTIMIZERS = ('sgd', 'adamw')
RIVALS = (PLAIN, 'lars', 'lamb')
# What a pipeline calls its neck: UperNet's is a part of its head.
NECKS = ('neck', 'fpn')
Found = Dict[Cell, List[dict]]


class Claim(NamedTuple):
    """One claim.

    Attributes:
        text (str): What the paper says.
        found (str): What the study found, in numbers.
        verdict (str): 'yes', 'no', 'undecided' or 'not run yet'.
        topic (str): In short, what it shares with other claims.
        label (str): In short, which of these it is: an optimizer, a rival.
        number (str): In short, what was found.
    """
    text: str
    found: str
    verdict: str
    topic: str
    label: str
    number: str


def claims(results: Sequence[dict], pipeline: str) -> Iterator[Claim]:
    """Compare every claim with the results on the test split.

    Args:
        results (Sequence[dict]): Of runs.
        pipeline (str): Which to look at.

    Yields:
        Claim: In the order of the paper, about what was run.
    """
    found = {
        cell: of_cell
        for cell, of_cell in cells(results, 'test').items()
        if cell.pipeline == pipeline
    }
    batches = sorted({cell.batch for cell in found if not cell.tag})
    if len(batches) < 2:
        return
    small, large = batches[0], batches[-1]

    def at(method: str, batch: int, tag: str = '') -> list[dict]:
        return found.get(Cell(pipeline, method, batch, tag), [])

    for optimizer in OPTIMIZERS:
        before = [at(f'{optimizer}-measured', b) for b in (small, large)]
        if any(before):
            yield from alignment(optimizer, *before,
                                 at(f'agvm-{optimizer}', large))
    pairs = [(OURS, rival) for rival in RIVALS] + [('agvm-adamw', 'adamw')]
    for batch in batches[1:]:
        for ours, rival in pairs:
            if at(ours, batch) and at(rival, batch):
                yield _better(batch, ours, rival, at(ours, batch),
                              at(rival, batch))
    for ours, rival in pairs:
        of_both = [
            at(m, batch) for m in (ours, rival) for batch in (small, large)
        ]
        if all(of_both):
            yield _loses_less(f'from batch {small} to {large}', ours, rival,
                              of_both[:2], of_both[2:])
    for cell in found:
        if cell.tag and cell.method == OURS and cell._replace(
                method=PLAIN) in found:
            what = cell.tag
            if what == BASELINE:  # apart from the rate, nothing is different
                what = f'at {found[cell][0]["run"]["lr"]:g}'
            yield _better(cell.batch, OURS, PLAIN, found[cell],
                          at(PLAIN, cell.batch, cell.tag), what)
    yield from _controls(found, pipeline)


def alignment(optimizer: str, small: Sequence[dict], large: Sequence[dict],
              with_agvm: Sequence[dict]) -> Iterator[Claim]:
    """What the paper says of the variances of the steps.

    Args:
        optimizer (str): Of the runs.
        small (Sequence[dict]): Runs at a small batch in which AGVM measured
            only.
        large (Sequence[dict]): Such runs at a large batch.
        with_agvm (Sequence[dict]): Runs with AGVM at that.

    Yields:
        Claim: In the order of the paper.
    """
    yield _spread(
        f'variances are aligned at a small batch ({optimizer})',
        small,
        aligned=True,
        short=('variances aligned at a small batch', optimizer))
    yield _spread(
        f'they are misaligned at a large batch ({optimizer})',
        large,
        aligned=False,
        short=('misaligned at a large batch', optimizer))
    yield _order(
        'there the backbone varies most, then the neck, then the heads '
        f'({optimizer})',
        large,
        short=('the backbone varies most, then the neck', optimizer))
    yield _spread(
        f'AGVM aligns them ({optimizer})',
        with_agvm,
        aligned=True,
        short=('aligned by AGVM', optimizer))


def _spread(text: str, of_cell: Sequence[dict], *, aligned: bool,
            short: tuple[str, str]) -> Claim:
    if not of_cell:
        return Claim(text, '', 'not run yet', *short, '')
    by_module = _variances(of_cell)
    spread = max(by_module.values()) / min(by_module.values())
    shown = ', '.join(f'{m} {v:.3f}' for m, v in by_module.items())
    return Claim(text, f'largest over smallest {spread:.1f}: {shown}', 'yes' if
                 (spread <= ALIGNED) == aligned else 'no', *short,
                 f'{spread:.1f}')


def _order(text: str, of_cell: Sequence[dict], *,
           short: tuple[str, str]) -> Claim:
    if not of_cell:
        return Claim(text, '', 'not run yet', *short, '')
    by_module = _variances(of_cell)
    order = sorted(by_module, key=lambda module: -by_module[module])
    so = order[0] == 'backbone' and order[1] in NECKS
    return Claim(text, ' > '.join(order), 'yes' if so else 'no', *short,
                 ' > '.join(order[:2]))


def _variances(of_cell: Sequence[dict]) -> dict[str, float]:
    """By module, the mean over seeds."""
    of_seeds = [variances(result) for result in of_cell]
    return {
        module: statistics.fmean(seed[module] for seed in of_seeds)
        for module in of_seeds[0]
    }


def _better(batch: int,
            ours: str,
            rival: str,
            our: Sequence[dict],
            their: Sequence[dict],
            what: str = '') -> Claim:
    text = f'at batch {batch} {ours} is better than {rival}'
    shown = f'{with_deviation(our)} against {with_deviation(their)}'
    short = (f'AGVM better at batch {batch}', rival)
    if what:
        text += f' ({what})'
        short = (f'{short[0]}, in controls', what)
    return _judged(text, shown, *difference(our, their), short=short)


def _loses_less(when: str, ours: str, rival: str,
                our: Sequence[Sequence[dict]],
                their: Sequence[Sequence[dict]]) -> Claim:
    """Each of the small and of the large batch."""
    our_loss, our_error = difference(*our)
    their_loss, their_error = difference(*their)
    shown = f'{percent(our_loss)} against {percent(their_loss)}'
    return _judged(
        f'{when} {ours} loses less than {rival}',
        shown,
        their_loss - our_loss,
        math.hypot(our_error, their_error),
        short=(f'AGVM loses less {when}', rival))


def _judged(text: str, shown: str, value: float, error: float, *,
            short: tuple[str, str]) -> Claim:
    """Whether what should be positive is."""
    shown += f': {100 * value:+.1f} (standard error {percent(error)})'
    verdict = 'undecided'
    if abs(value) >= ERRORS * error:  # never of one seed: the error is NaN
        verdict = 'yes' if value > 0 else 'no'
    return Claim(text, shown, verdict, *short,
                 f'{100 * value:+.1f} ({percent(error)})')


def _controls(found: Found, pipeline: str) -> Iterator[Claim]:
    """The claims about AGVM's own settings, where they were tried."""
    tagged = [c for c in found if c.tag and c.method == OURS]
    for batch in sorted({cell.batch for cell in tagged}):
        baseline = found.get(Cell(pipeline, OURS, batch, BASELINE), [])
        of_batch = {c.tag: found[c] for c in tagged if c.batch == batch}
        kinds = {
            'interval and momentum matter little': 'averaging-',
            'the backbone is the best anchor': 'anchor-',
            'without a moving average it diverges': 'momentum-0',
        }
        for text, prefix in kinds.items():
            tried = {t: r for t, r in of_batch.items() if t.startswith(prefix)}
            if baseline and tried:
                yield _compared(f'{text} (batch {batch})', prefix, baseline,
                                tried)


def _compared(text: str, prefix: str, baseline: list[dict],
              tried: dict[str, list[dict]]) -> Claim:
    shown = ', '.join(f'{tag[len(prefix):] or tag} '
                      f'{with_deviation(cell)}' for tag, cell in tried.items())
    shown = f'AGVM {with_deviation(baseline)}; {shown}'
    return Claim(text, shown, _verdict(prefix, baseline, tried), text, '',
                 shown)


def _verdict(prefix: str, baseline: list[dict],
             tried: dict[str, list[dict]]) -> str:
    if prefix == 'momentum-0':
        diverged = any(r['diverged'] for cell in tried.values() for r in cell)
        return 'yes' if diverged else 'no'
    apart = [difference(baseline, cell) for cell in tried.values()]
    if any(math.isnan(error) for _, error in apart):  # of one seed
        return 'undecided'
    if prefix == 'anchor-':
        if all(value > ERRORS * error for value, error in apart):
            return 'yes'
        worse = any(mean(cell) > mean(baseline) for cell in tried.values())
        return 'no' if worse else 'undecided'
    same = all(abs(value) < ERRORS * error for value, error in apart)
    return 'yes' if same else 'no'
