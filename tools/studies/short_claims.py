"""The paper's claims in one short table."""
from __future__ import annotations

from typing import Iterator, List, Sequence

from .claims import Claim, claims

COLUMNS = ('claim', 'found', 'so?')
# The one with every method, control and batch; the others get a row each.
MAIN = 'faster-rcnn'
Row = List[str]


def short_claims(results: Sequence[dict]) -> Iterator[Row]:
    """A row a claim of the main pipeline, then one a pipeline.

    Args:
        results (Sequence[dict]): Of runs.

    Yields:
        list[str]: The claim or the pipeline, what was found, the verdict.
    """
    by_topic: dict[str, list[Claim]] = {}
    for claim in claims(results, MAIN):
        by_topic.setdefault(claim.topic, []).append(claim)
    for topic, of_topic in by_topic.items():
        yield _of_topic(topic, of_topic)
    for pipeline in sorted({r['run']['pipeline'] for r in results} - {MAIN}):
        if said := list(claims(results, pipeline)):
            yield _of_pipeline(pipeline, said)


def _of_topic(topic: str, said: Sequence[Claim]) -> Row:
    """One verdict if all agree; else whose each is."""
    shown = ', '.join(f'{c.label} {c.number}'.strip() for c in said)
    by_verdict = _by_verdict(said)
    if len(by_verdict) == 1:
        return [topic, shown, *by_verdict]
    whose = (f'{verdict}: ' + ', '.join(claim.label for claim in agreeing)
             for verdict, agreeing in by_verdict.items())
    return [topic, shown, '; '.join(whose)]


def _of_pipeline(pipeline: str, said: Sequence[Claim]) -> Row:
    """What holds there, and what does not."""
    shown, counts = [], []
    for verdict, agreeing in _by_verdict(said).items():
        what = ', '.join(f'{c.topic} [{c.number}]' for c in agreeing)
        shown.append(f'**{verdict}**: {what}')
        counts.append(f'{len(agreeing)} {verdict}')
    whose = ', '.join(dict.fromkeys(claim.label for claim in said))
    return [f'{pipeline} ({whose})', '; '.join(shown), ', '.join(counts)]


def _by_verdict(said: Sequence[Claim]) -> dict[str, list[Claim]]:
    found: dict[str, list[Claim]] = {}
    for claim in said:
        found.setdefault(claim.verdict, []).append(claim)
    return found
