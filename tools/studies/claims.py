"""The paper's claims beside what the study found, claim by claim.

A difference counts by a paired t-test over the seeds that both methods have,
whose p-value is corrected for the number of tests of the pipeline; variances
of the step count as aligned if the largest module's is within twice the
smallest's over the first half of the training.
"""
from __future__ import annotations

import math
import statistics
from typing import Dict, Iterator, List, NamedTuple, Sequence

from .cells import BASELINE, MEASURED, Cell, cells, variances
from .paired import LEVEL, Paired, holm, paired
from .tables import percent, with_deviation

ALIGNED = 2.0
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


class Difference(NamedTuple):
    """A claim that one method is above another, before it is judged.

    Attributes:
        text (str): See :class:`Claim`.
        shown (str): What both have.
        result (Paired): What should be positive.
        topic (str): See :class:`Claim`.
        label (str): See :class:`Claim`.
    """
    text: str
    shown: str
    result: Paired
    topic: str
    label: str


def claims(results: Sequence[dict], pipeline: str) -> Iterator[Claim]:
    """Compare every claim with the results on the test split.

    Args:
        results (Sequence[dict]): Of runs.
        pipeline (str): Which to look at.

    Yields:
        Claim: In the order of the paper, about what was run.
    """
    found = list(_compared_claims(results, pipeline))
    tests = [one for one in found if isinstance(one, Difference)]
    p_values = iter(holm([test.result.p_value for test in tests]))
    for one in found:
        yield one if isinstance(one, Claim) else _judged(one, next(p_values))


def _compared_claims(results: Sequence[dict],
                     pipeline: str) -> Iterator[Claim | Difference]:
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
        before = [at(optimizer + MEASURED, b) for b in (small, large)]
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
    # One that diverged before AGVM began has measured nothing.
    small, large, with_agvm = (
        [result for result in of_cell if result['agvm'].get('variance')]
        for of_cell in (small, large, with_agvm))
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
            what: str = '') -> Difference:
    text = f'at batch {batch} {ours} is better than {rival}'
    shown = f'{with_deviation(our)} against {with_deviation(their)}'
    short = (f'AGVM better at batch {batch}', rival)
    if what:
        text += f' ({what})'
        short = (f'{short[0]}, in controls', what)
    return Difference(text, shown, _over_seeds(our, their), *short)


def _loses_less(when: str, ours: str, rival: str,
                our: Sequence[Sequence[dict]],
                their: Sequence[Sequence[dict]]) -> Difference:
    """Each of the small and of the large batch."""
    our_loss, their_loss = (_lost(*of) for of in (our, their))
    shown = ' against '.join(
        percent(statistics.fmean(loss.values()))
        for loss in (our_loss, their_loss))
    return Difference(f'{when} {ours} loses less than {rival}', shown,
                      paired(their_loss, our_loss), f'AGVM loses less {when}',
                      rival)


def _lost(small: Sequence[dict], large: Sequence[dict]) -> dict[int, float]:
    """From the small batch to the large one, by seed."""
    before, after = _by_seed(small), _by_seed(large)
    return {s: before[s] - after[s] for s in before if s in after}


def _over_seeds(ours: Sequence[dict], theirs: Sequence[dict]) -> Paired:
    return paired(_by_seed(ours), _by_seed(theirs))


def _by_seed(of_cell: Sequence[dict]) -> dict[int, float]:
    return {result['run']['seed']: result['final'] for result in of_cell}


def _judged(claim: Difference, p_value: float) -> Claim:
    """Whether what should be positive is."""
    value = claim.result.mean
    said = 'one seed' if math.isnan(p_value) else f'p = {p_value:.2f}'
    number = f'{100 * value:+.1f} ({said})'
    verdict = 'undecided'
    if p_value < LEVEL:  # never of one seed
        verdict = 'yes' if value > 0 else 'no'
    return Claim(claim.text, f'{claim.shown}: {number}', verdict, claim.topic,
                 claim.label, number)


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
    apart = [_over_seeds(baseline, cell) for cell in tried.values()]
    corrected = holm([one.p_value for one in apart])
    decided = [
        math.copysign(1, one.mean) if p < LEVEL else 0
        for one, p in zip(apart, corrected)
    ]
    if prefix == 'anchor-':
        if all(sign > 0 for sign in decided):
            return 'yes'
        return 'no' if -1 in decided else 'undecided'
    # That nothing is seen in a few seeds does not show that nothing is there.
    return 'no' if any(decided) else 'undecided'
