"""What final runs of a protocol say, claim by claim, with p-values."""
from __future__ import annotations

import math
import statistics
from typing import Dict, Iterable, Iterator, Mapping, NamedTuple, Sequence

from .cells import MEASURED, updates_to
from .claims import alignment
from .finals import of_method, reached, with_variances
from .paired import LEVEL, Paired, holm, paired
from .protocol import Protocol
from .tables import percent

BySeed = Dict[int, dict]
COLUMNS = ('claim', 'found', 'p', 'so?', 'would have been seen')


class Tested(NamedTuple):
    """One claim, a row of the table.

    Attributes:
        text (str): What is claimed.
        found (str): In numbers.
        p_value (str): Corrected; empty where nothing is tested.
        verdict (str): 'yes', 'no', 'undecided' or 'not tested'.
        visible (str): Beside 'undecided', the difference that the runs would
            have shown.
    """
    text: str
    found: str
    p_value: str
    verdict: str
    visible: str


class Comparison(NamedTuple):
    """Two methods at one batch, before the p-values are corrected.

    Attributes:
        text (str): What is claimed.
        found (str): In numbers.
        result (Paired, optional): None where there is nothing to test.
        sign (int): Of the difference that makes the claim true.
        unit (str): Of the difference: 'points' or 'times'.
    """
    text: str
    found: str
    result: Paired | None
    sign: int
    unit: str


def target_claims(protocol: Protocol, pipeline: str) -> Iterator[Tested]:
    """What the paper says of variances, and every planned comparison.

    Args:
        protocol (Protocol): With its results.
        pipeline (str): Which to look at.

    Yields:
        Tested: P-values are corrected for the number of comparisons here.
    """
    finals = protocol.finals(pipeline)
    for ours, rival in protocol.settings.compare:
        before = with_variances(of_method(finals, rival + MEASURED))
        if len(before) < 2:
            continue
        small, large = min(before), max(before)
        after = of_method(finals, ours).get(large, [])
        for claim in alignment(rival, before[small], before[large], after):
            yield Tested(claim.text, claim.found, '', claim.verdict, '')
    yield from tested(
        comparisons(protocol, pipeline, protocol.settings.compare))


def tested(compared: Iterable[Comparison]) -> Iterator[Tested]:
    """Comparisons as a table of claims.

    Args:
        compared (Iterable[Comparison]): For whose number the p-values are
            corrected.

    Yields:
        Tested: In the same order.
    """
    compared = list(compared)
    corrected = holm([
        math.nan if one.result is None else one.result.p_value
        for one in compared
    ])
    for comparison, p_value in zip(compared, corrected):
        yield _judged(comparison, p_value)


def comparisons(protocol: Protocol, pipeline: str,
                pairs: Iterable[Sequence[str]]) -> Iterator[Comparison]:
    """Every pair of methods that is to be compared, batch by batch.

    Args:
        protocol (Protocol): With its results.
        pipeline (str): Which to look at.
        pairs (Iterable[Sequence[str]]): A method and its rival, each.

    Yields:
        Comparison: Of the updates to a target, and of the last metric.
    """
    finals = protocol.finals(pipeline)
    targets = protocol.targets(pipeline)
    if targets is None:
        return
    for ours, rival in pairs:
        both = of_method(finals, ours), of_method(finals, rival)
        for batch in sorted({*both[0]} & {*both[1]}):
            pair = [_by_seed(of_batches[batch]) for of_batches in both]
            common = sorted({*pair[0]} & {*pair[1]})
            if not common:
                continue
            pair = [{seed: of[seed] for seed in common} for of in pair]
            yield _of_updates(batch, ours, rival, *pair, targets)
            yield of_metric(batch, ours, rival, *({
                seed: result['test']
                for seed, result in of.items()
            } for of in pair))


def _by_seed(of_cell: Sequence[dict]) -> BySeed:
    return {result['run']['seed']: result for result in of_cell}


def _of_updates(batch: int, ours: str, rival: str, our: BySeed, their: BySeed,
                targets: Sequence[float]) -> Comparison:
    """To the highest target that every run of both reached.

    If there is none, how many runs reached the lowest.
    """
    both = [*our.values()], [*their.values()]
    target = next((target for target in targets
                   if all(len(reached(of, target)) == len(of)
                          for of in both)), None)  # yapf: disable
    shown = targets[-1] if target is None else target
    text = (f'at batch {batch} {ours} needs fewer updates than {rival} to '
            f'{percent(shown)}')
    if target is None:
        counts = ' and by '.join(f'{len(reached(of, shown))} of {len(of)}'
                                 for of in both)
        return Comparison(text, f'reached by {counts}', None, -1, 'times')
    logs = [{
        seed: math.log2(updates_to(result, target))
        for seed, result in of.items()
    } for of in (our, their)]
    result = paired(*logs)
    means = (2**statistics.fmean(log.values()) for log in logs)
    found = (f'{" against ".join(f"{mean:.0f}" for mean in means)}: '
             f'{2**result.mean:.2f} times ({result.count} pairs)')
    return Comparison(text, found, result, -1, 'times')


def of_metric(batch: int, ours: str, rival: str, our: Mapping[int, float],
              their: Mapping[int, float]) -> Comparison:
    """The last metric of two methods.

    Args:
        batch (int): Samples of an update.
        ours (str): A method.
        rival (str): Another.
        our (Mapping[int, float]): Metrics of one, by seed.
        their (Mapping[int, float]): Of the other. One seed at least is of
            both.
    """
    result = paired(our, their)
    means = (percent(statistics.fmean(of.values())) for of in (our, their))
    return Comparison(
        f'at batch {batch} {ours} ends better than {rival}',
        f'{" against ".join(means)}: {100 * result.mean:+.1f} '
        f'({result.count} pairs)', result, 1, 'points')


def _judged(comparison: Comparison, p_value: float) -> Tested:
    text, found, result, sign, unit = comparison
    if math.isnan(p_value):
        return Tested(text, found, '', 'not tested', '')
    assert result is not None  # Only what is tested has a p-value.
    shown = '< 0.001' if p_value < 0.001 else f'{p_value:.3f}'
    if p_value < LEVEL:
        verdict = 'yes' if sign * result.mean > 0 else 'no'
        return Tested(text, found, shown, verdict, '')
    if unit == 'times':
        visible = f'{2**-result.detectable:.2f} times'
    else:
        visible = f'{100 * result.detectable:.1f} points'
    return Tested(text, found, shown, 'undecided', visible)
