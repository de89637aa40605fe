"""A study's YAML file: which runs there are."""
from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator, Sequence

from mmengine.config import Config

from .cells import BASELINE, best_rate

# As learning rates; see expand.
BEST = 'best'
BEST_OF = 'best of '
STAGES = (0, 1, 2)
REQUIRED = ('pipeline', 'method', 'batch', 'lr')


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
    """
    pipeline: str
    method: str
    batch: int
    lr: float | None
    seed: int = 0
    split: str = 'val'
    tag: str = ''
    set: dict = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        """Of its result file and its work dir."""
        parts = [
            self.pipeline, self.method, f'bs{self.batch}',
            'lr?' if self.lr is None else f'lr{self.lr:g}', f'seed{self.seed}',
            self.split
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
        left_out = [key for key in REQUIRED if key not in entry]
        if left_out:
            raise ValueError(f'{path}: the run {entry.to_dict()} is without '
                             f'{", ".join(left_out)}')
        others = [
            lr[len(BEST_OF):] for lr in _listed(entry.get('lr'))
            if str(lr).startswith(BEST_OF)
        ]
        named = dict(
            pipelines=_listed(entry.get('pipeline')),
            methods=[
                *_listed(entry.get('method')), *others,
                *_listed(entry.get('constant_scale', []))
            ])
        for kind, names in named.items():
            for name in names:
                if name not in study[kind]:
                    raise ValueError(
                        f'{path}: runs name {name!r}, which is none of the '
                        f'{kind}; there are {", ".join(study[kind])}')
        known = [*Run.__dataclass_fields__, 'constant_scale']
        unknown = set(entry) - set(known)
        if unknown:
            raise ValueError(
                f'{path}: a run has no {", ".join(map(repr, unknown))}; it '
                f'has {", ".join(known)}')
    return study


def expand(study: Config,
           results: Sequence[dict],
           stages: Sequence[int] = STAGES) -> Iterator[Run]:
    """Every run of a study, lists multiplied out.

    Besides what a :class:`Run` has, an entry of the file may say

    - ``lr: best``: the method's best one on the validation split, at that
      pipeline and batch; ``lr: best of METHOD``: another method's;
    - ``constant_scale: METHOD``: each module's learning rate is multiplied,
      from the start, by the mean factor that METHOD, with AGVM, found there
      in its runs tagged 'baseline'.

    Args:
        study (Config): From :func:`read_study`.
        results (Sequence[dict]): What is done already. A run that depends on
            what is not has an ``lr`` of None.
        stages (Sequence[int]): 0 for runs that depend on no others, 1 for
            those at a best learning rate, 2 for those with constant scales.
            Defaults to all.

    Yields:
        Run: In the order of the file.
    """
    for entry in study.runs:
        if _stage(entry) not in stages:
            continue
        entry = entry.to_dict()
        settings = entry.pop('set', {})
        scaled_as = entry.pop('constant_scale', None)
        keys = list(entry)
        for values in itertools.product(*map(_listed, entry.values())):
            chosen: dict[str, Any] = dict(zip(keys, values))
            if str(chosen['lr']).startswith(BEST_OF):
                other = dict(chosen, method=chosen['lr'][len(BEST_OF):])
                chosen['lr'] = best_lr(results, other)
            elif chosen['lr'] == BEST:
                chosen['lr'] = best_lr(results, chosen)
            more = {}
            if scaled_as is not None:
                more = constant_scale(results, dict(chosen, method=scaled_as))
                if more is None:
                    chosen['lr'], more = None, {}
            yield Run(**chosen, set={**settings, **more})


def missing(study: Config, results: Sequence[dict]) -> list[Run]:
    """The runs that can begin now: a stage waits for all of the one before.

    Args:
        study (Config): From :func:`read_study`.
        results (Sequence[dict]): What is done already.
    """
    done = {result['name'] for result in results}
    for stage in STAGES:
        todo = [
            run for run in expand(study, results, [stage])
            if run.lr is not None and run.name not in done
        ]
        if todo:
            return todo
    return []


def best_lr(results: Sequence[dict], like: dict) -> float | None:
    """The best learning rate on the validation split.

    Args:
        results (Sequence[dict]): Of runs.
        like (dict): Names the pipeline, method and batch.

    Returns:
        float or None: None if no such run is done.
    """
    found = _like(results, like, 'val')
    return best_rate(found) if found else None


def constant_scale(results: Sequence[dict], like: dict) -> dict | None:
    """Settings that multiply each module's lr by what AGVM found.

    Args:
        results (Sequence[dict]): Of runs.
        like (dict): Names the pipeline, method and batch.

    Returns:
        dict or None: None if no such run on the test split is done.
    """
    found = _like(results, like, 'test', BASELINE)
    if not found:
        return None
    modules = found[0]['agvm']['lr_scale']
    keys = {}
    for module in modules:
        values = [
            value for result in found
            for _, value in result['agvm']['lr_scale'][module]
        ]
        keys[module] = dict(lr_mult=round(statistics.fmean(values), 3))
    return {'optim_wrapper.paramwise_cfg': dict(custom_keys=keys)}


def _like(results: Sequence[dict],
          like: dict,
          split: str,
          tag: str = '') -> list[dict]:
    """Results of one pipeline, method and batch."""
    return [
        result for result in results
        if result['run']['split'] == split and result['run']['tag'] == tag
        and all(result['run'][key] == like[key]
                for key in ('pipeline', 'method', 'batch'))
    ]


def _stage(entry: dict) -> int:
    if 'constant_scale' in entry:
        return 2
    rates = map(str, _listed(entry['lr']))
    return int(any(rate.startswith(BEST) for rate in rates))


def _listed(value: Any) -> list:
    return list(value) if isinstance(value, (list, tuple)) else [value]
