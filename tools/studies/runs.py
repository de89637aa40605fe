"""One training of a study, and how a file's lists name many."""
from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any, Iterator

# As learning rates: see studies.grid.expand and studies.protocol.
TRIALS = 'trials'
BEST = 'best'
BEST_OF = 'best of '


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        pipeline (str): A name in the study's ``pipelines``.
        method (str): A name in its ``methods``.
        batch (int): Samples of one update.
        lr (float, optional): Learning rate; None while it is not known.
        seed (int): Of the run.
        split (str): 'val' or 'test', on which it is judged.
        tag (str): What else is different; empty for nothing.
        set (dict): The settings that make that difference.
        updates (int, optional): Its horizon; None of a run that is as many
            epochs as the study says, or while it is not known.
        stop_at (float, optional): The metric at which it has shown all that
            it can, and ends; None to train it whole.
    """
    pipeline: str
    method: str
    batch: int
    lr: float | None
    seed: int = 0
    split: str = 'val'
    tag: str = ''
    set: dict = field(default_factory=dict, hash=False)
    updates: int | None = None
    stop_at: float | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """Of its result file and its work dir."""
        parts = [
            self.pipeline, self.method, f'bs{self.batch}',
            'lr?' if self.lr is None else f'lr{self.lr:g}',
            '' if self.updates is None else f'u{self.updates}',
            f'seed{self.seed}', self.split, self.tag
        ]
        return '_'.join(filter(None, parts))


def listed(value: Any) -> list:
    """What a field of a run names, as a list."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def multiplied(entry: dict) -> Iterator[dict]:
    """A run of a study's file, its lists multiplied out.

    Args:
        entry (dict): As the file has it. Its ``set`` stays as it is.

    Yields:
        dict: The same, with one value of each list.
    """
    entry = dict(entry)
    settings = entry.pop('set', {})
    for values in itertools.product(*map(listed, entry.values())):
        yield dict(zip(entry, values), set=settings)


def other_method(lr: Any) -> str | None:
    """The method whose best is meant by ``lr: best of METHOD``."""
    text = str(lr)
    return text[len(BEST_OF):] if text.startswith(BEST_OF) else None


def is_chosen(lr: Any) -> bool:
    """Whether earlier results choose a learning rate."""
    return str(lr) == BEST or other_method(lr) is not None
