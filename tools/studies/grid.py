"""A study's YAML file: which runs there are."""
from __future__ import annotations

from pathlib import Path
from typing import Iterator, Sequence

from mmengine.config import Config
from yaml import YAMLError

from .checks import check_protocol, check_runs, check_variants
from .choices import best_lr, constant_scale
from .protocol import Protocol
from .runs import Run, is_chosen, listed, multiplied, other_method

STAGES = (0, 1, 2)


def read_study(path: str | Path) -> Config:
    """Read a study's file.

    Args:
        path (str or Path): YAML; it may name a ``_base_``.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is no YAML, a run names what the study does not
            define, or its protocol is none.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path} does not exist; name a study as '
                                'docs/study/quick.yaml')
    try:
        study = Config.fromfile(path)
    # OSError is MMEngine's, of a suffix, AttributeError that of a file without
    # keys, and TypeError that of a key that its _base_ has in another form.
    except (OSError, YAMLError, AttributeError, TypeError) as error:
        raise ValueError(f'{path} cannot be read as YAML: '
                         f'{" ".join(str(error).split())}') from error
    check_runs(study, path)
    check_variants(study, path)
    check_protocol(study, path)
    return study


def expand(study: Config,
           results: Sequence[dict],
           stages: Sequence[int] = STAGES) -> Iterator[Run]:
    """Every run of a study, lists multiplied out.

    Of a study with a protocol, see :class:`~studies.protocol.Protocol`. Of
    another, an entry of the file may say, besides what a :class:`Run` has,

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
            Defaults to all; a protocol has none.

    Yields:
        Run: In the order of the file.
    """
    if 'protocol' in study:
        yield from Protocol(study, results).runs()
        return
    for entry in study.runs:
        if _stage(entry) not in stages:
            continue
        for chosen in multiplied(entry.to_dict()):
            scaled_as = chosen.pop('constant_scale', None)
            lr = chosen['lr']
            if is_chosen(lr):
                method = other_method(lr) or chosen['method']
                chosen['lr'] = best_lr(results, dict(chosen, method=method))
            if scaled_as is not None:
                more = constant_scale(results, dict(chosen, method=scaled_as))
                if more is None:
                    chosen['lr'] = None
                chosen['set'] = {**chosen['set'], **(more or {})}
            yield Run(**chosen)


def missing(study: Config, results: Sequence[dict]) -> list[Run]:
    """The runs that can begin now, in the order of the file.

    With a protocol a run waits for what it depends on; without one, a stage
    waits for all of the one before.

    Args:
        study (Config): From :func:`read_study`.
        results (Sequence[dict]): What is done already.
    """
    if 'protocol' in study:
        return Protocol(study, results).ready()
    done = {result['name'] for result in results}
    for stage in STAGES:
        todo = [
            run for run in expand(study, results, [stage])
            if run.lr is not None and run.name not in done
        ]
        if todo:
            return todo
    return []


def _stage(entry: dict) -> int:
    if 'constant_scale' in entry:
        return 2
    return int(any(map(is_chosen, listed(entry['lr']))))
