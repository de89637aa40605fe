"""What a study's YAML file may say; refused before anything is trained."""
from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

from mmengine.config import Config

from .runs import TRIALS, Run, is_chosen, listed, multiplied, other_method

# What a study has, and what it may have.
NEEDED = dict(
    results=str, data=dict, pipelines=dict, methods=dict, runs=list)
OPTIONAL = dict(protocol=dict, variants=dict, page=dict)
REQUIRED = ('pipeline', 'method', 'batch', 'lr')  # of a run
# With what its value must be.
PROTOCOL = dict(
    trials='an int >= 1',
    trials_seed='an int >= 0',
    small_batch='an int >= 1',
    horizon='a range of updates by batch, as {8: [256, 768]}',
    rate='a range of learning rates by method, as {sgd: [0.01, 0.16]}',
    reference='a list of methods',
    targets='numbers between 0 and 1, the highest first',
    validations='an int >= 1',
    warmup='a number between 0 and 1',
    last_rate='a number between 0 and 1',
    settling='a number between 0 and 1',
    measurements='an int >= 1',
    points='an int >= 1',
    compare='pairs of methods, as [[agvm-sgd, sgd]]')


def check_runs(study: Config, path: str | Path) -> None:
    """Refuse a study that lacks a part, or whose runs name what it lacks.

    Args:
        study (Config): As it is read.
        path (str or Path): Of its file.

    Raises:
        ValueError: If it does.
    """
    for key in NEEDED:
        if key not in study:
            raise ValueError(
                f'{path} is without {key}: a study has {", ".join(NEEDED)}, '
                'of its own or of its _base_, as docs/study/quick.yaml')
    for key, kind in {**NEEDED, **OPTIONAL}.items():
        if key in study and not isinstance(study[key], kind):
            raise ValueError(f'{path}: {key}={study[key]!r} must be a '
                             f'{kind.__name__}, as in docs/study/bccd.yaml')
    if 'protocol' in study or 'variants' in study:
        for key in ('title', 'protocol'):
            if key not in study.get('page', {}):
                raise ValueError(
                    f'{path} is without page.{key}: a study with a protocol '
                    'or variants has a page of its own, as '
                    'docs/study/bccd.yaml')
    known = [*Run.__dataclass_fields__, 'constant_scale']
    known.remove('stop_at')  # The protocol's to set.
    for entry in study.runs:
        if not isinstance(entry, dict):
            raise ValueError(f'{path}: the run {entry!r} must be a dict, as '
                             '{pipeline: retinanet, method: sgd, ...}')
        left_out = [key for key in REQUIRED if key not in entry]
        if left_out:
            raise ValueError(f'{path}: the run {entry.to_dict()} is without '
                             f'{", ".join(left_out)}')
        for lr in listed(entry.lr):
            if not (isinstance(lr, (int, float)) or lr == TRIALS
                    or is_chosen(lr)):
                raise ValueError(
                    f'{path}: a run has lr={lr!r}, which must be a number '
                    '(YAML reads 4e-4 as a text, and 4.0e-4 as a number), '
                    "'trials', 'best' or 'best of METHOD'")
        others = filter(None, map(other_method, listed(entry.lr)))
        named = dict(
            pipelines=listed(entry.pipeline),
            methods=[
                *listed(entry.method), *others,
                *listed(entry.get('constant_scale', []))
            ])
        for kind, names in named.items():
            for name in names:
                if name not in study[kind]:
                    raise ValueError(
                        f'{path}: runs name {name!r}, which is none of the '
                        f'{kind}; there are {", ".join(study[kind])}')
        unknown = set(entry) - set(known)
        if unknown:
            raise ValueError(
                f'{path}: a run has no {", ".join(map(repr, unknown))}; it '
                f'has {", ".join(known)}')


def check_variants(study: Config, path: str | Path) -> None:
    """Refuse variants of AGVM, or rivals of theirs, that are no methods.

    Args:
        study (Config): As it is read.
        path (str or Path): Of its file.

    Raises:
        ValueError: If there are such.
    """
    for rival, variants in study.get('variants', {}).items():
        for name in (rival, *variants):
            if name not in study.methods:
                raise ValueError(
                    f'{path}: variants name {name!r}, which is none of the '
                    f'methods; there are {", ".join(study.methods)}')


def check_protocol(study: Config, path: str | Path) -> None:
    """Refuse a protocol that cannot be followed, and runs that have none.

    Args:
        study (Config): Whose runs are checked already.
        path (str or Path): Of its file.

    Raises:
        ValueError: If it cannot.
    """
    entries = [entry.to_dict() for entry in study.runs]
    if 'protocol' not in study:
        for entry in entries:
            if 'updates' in entry or TRIALS in listed(entry['lr']):
                raise ValueError(
                    f'{path}: the run {entry} has trials or updates, and the '
                    'study has no protocol: add one, as docs/study/bccd.yaml '
                    'has it')
        return
    protocol = study.protocol.to_dict()
    _check_fields(protocol, path)
    for name in {*protocol['reference'], *chain(*protocol['compare'])}:
        if name not in study.methods:
            raise ValueError(
                f'{path}: protocol names {name!r}, which is none of the '
                f'methods; there are {", ".join(study.methods)}')
    chosen = [run for entry in entries for run in multiplied(entry)]
    for run in chosen:
        wrong = _wrong_with(run, protocol)
        if wrong:
            raise ValueError(f'{path}: the run {run} {wrong}')
    small = protocol['small_batch']
    for pipeline in sorted({run['pipeline'] for run in chosen}):
        for method in protocol['reference']:
            if not any(
                (run['pipeline'], run['method'],
                 run['batch']) == (pipeline, method, small) and _is_trial(run)
                    for run in chosen):
                raise ValueError(
                    f'{path}: the targets of {pipeline} follow from trials of '
                    f'{method} at batch {small}, and no run is one: add it, '
                    'or take the method out of protocol.reference')


def _check_fields(protocol: dict, path: str | Path) -> None:
    for name in [*PROTOCOL, *protocol]:
        if name not in protocol:
            raise ValueError(f'{path}: protocol is without {name}, which must '
                             f'be {PROTOCOL[name]}')
        if name not in PROTOCOL:
            raise ValueError(f'{path}: protocol has no {name!r}; it has '
                             f'{", ".join(PROTOCOL)}')
    for name, value in protocol.items():
        if not _is_right(name, value):
            raise ValueError(
                f'{path}: protocol.{name}={value!r} must be {PROTOCOL[name]}')


def _is_right(name: str, value: Any) -> bool:
    kind = PROTOCOL[name]
    if kind.startswith('an int'):
        least = int(kind.split()[-1])
        return isinstance(value, int) and value >= least
    if kind.startswith('a number'):
        return isinstance(value, (int, float)) and 0 <= value < 1
    if kind.startswith('a range'):
        # YAML reads 4e-4 as a text, and 4.0e-4 as a number.
        return isinstance(value, dict) and all(
            isinstance(ends, list) and len(ends) == 2 and all(
                isinstance(end, (int, float))
                for end in ends) and 0 < ends[0] <= ends[1]
            for ends in value.values())
    if not isinstance(value, list):
        return False
    if name == 'targets':
        return bool(value) and all(
            isinstance(share, (int, float)) and 0 < share < 1
            for share in value) and value == sorted(value, reverse=True)
    if name == 'compare':
        return all(
            isinstance(pair, list) and len(pair) == 2 for pair in value)
    return bool(value)  # Of the reference.


def _wrong_with(run: dict, protocol: dict) -> str:
    """What makes one run, of an entry multiplied out, impossible."""
    lr, split = run['lr'], run.get('split', 'val')
    if 'constant_scale' in run:
        return 'has a constant_scale, which is of studies without a protocol'
    if is_chosen(lr):
        if split != 'test' or 'updates' in run:
            return (f'has lr={lr!r}, which is of final runs: give it '
                    "split='test', and no updates")
        return ''
    if split != 'val' and not run.get('tag'):
        return (f"has split={split!r} and lr={lr!r}: a final run has lr='best'"
                ", and a trial split='val'; name a control by a tag")
    if lr == TRIALS:
        if 'updates' in run:
            return "has updates beside lr='trials', which draws them"
        for name, key in (('rate', run['method']), ('horizon', run['batch'])):
            if key not in protocol[name]:
                return (f"has lr='trials', and protocol.{name} has no {key!r}:"
                        f' add it to {", ".join(map(str, protocol[name]))}')
        return ''
    every = protocol['validations']
    updates = run.get('updates')
    if not isinstance(updates, int) or updates < 1 or updates % every:
        return (f'has updates={updates!r} beside a number as lr: it must be a '
                f'multiple of protocol.validations={every}')
    return ''


def _is_trial(run: dict) -> bool:
    return not is_chosen(run['lr']) and run.get('split', 'val') == 'val'
