"""A study's YAML file: which runs there are."""
from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator, Sequence

from mmengine.config import Config

BEST = 'best'  # as a learning rate: the best one of the validation split


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        pipeline (str): A name in the study's ``pipelines``.
        method (str): A name in its ``methods``.
        batch (int): Samples of one update.
        lr (float): Learning rate.
        seed (int): Of the run.
        split (str): 'val' or 'test', on which it is judged.
        tag (str): What else is different; empty for nothing.
        set (dict): The settings that make that difference.
    """
    pipeline: str
    method: str
    batch: int
    lr: float
    seed: int = 0
    split: str = 'val'
    tag: str = ''
    set: dict = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        """Of its result file and its work dir."""
        parts = [
            self.pipeline, self.method, f'bs{self.batch}', f'lr{self.lr:g}',
            f'seed{self.seed}', self.split
        ]
        return '_'.join([*parts, self.tag] if self.tag else parts)


def read_study(path: str | Path) -> Config:
    """Read a study's file.

    Args:
        path (str or Path): YAML; it may name a ``_base_``.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If a run names what the study does not define.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path} does not exist; name a study as '
                                'docs/study/quick.yaml')
    study = Config.fromfile(path)
    for entry in study.runs:
        for key, known in (('pipeline', study.pipelines), ('method',
                                                           study.methods)):
            for name in _listed(entry.get(key)):
                if name not in known:
                    raise ValueError(
                        f'{path}: runs name the {key} {name!r}; there are '
                        f'{", ".join(known)}')
        unknown = set(entry) - set(Run.__dataclass_fields__)
        if unknown:
            raise ValueError(
                f'{path}: a run has no {", ".join(map(repr, unknown))}; it '
                f'has {", ".join(Run.__dataclass_fields__)}')
    return study


def expand(study: Config, results: Sequence[dict]) -> Iterator[Run]:
    """Every run of a study, lists multiplied out.

    Args:
        study (Config): From :func:`read_study`.
        results (Sequence[dict]): What is done already; a ``best`` learning
            rate is looked up in it, and its run left out while it is not
            known.

    Yields:
        Run: In the order of the file.
    """
    for entry in study.runs:
        entry = entry.to_dict()
        settings = entry.pop('set', {})
        keys = list(entry)
        for values in itertools.product(*map(_listed, entry.values())):
            chosen: dict[str, Any] = dict(zip(keys, values))
            if chosen['lr'] == BEST:
                lr = best_lr(results, chosen)
                if lr is None:
                    continue
                chosen['lr'] = lr
            yield Run(**chosen, set=settings)


def best_lr(results: Sequence[dict], like: dict) -> float | None:
    """The learning rate with the best last metric on the validation split.

    Args:
        results (Sequence[dict]): Of runs.
        like (dict): Names the pipeline, method and batch.

    Returns:
        float or None: None if no such run is done.
    """
    found = [
        result for result in results
        if result['run']['split'] == 'val' and not result['run']['tag']
        and all(result['run'][key] == like[key]
                for key in ('pipeline', 'method', 'batch'))
    ]
    if not found:
        return None
    return max(found, key=lambda result: result['final'])['run']['lr']


def _listed(value: Any) -> list:
    return list(value) if isinstance(value, (list, tuple)) else [value]
