"""Where the numbers of a pipeline's table are from, in words."""
from __future__ import annotations

import re
from typing import Callable, Iterator, Sequence

from .rows import Row


def sources(rows: Sequence[Row]) -> Iterator[str]:
    """What each column of a pipeline's tables is from, a line for each.

    Args:
        rows (Sequence[Row]): The pipeline's configs.
    """
    agvm = [row for row in rows if row.agvm is not None]
    clips = [r for r in agvm if 'clip_grad_range' in r.cfg.optim_wrapper]
    yield from told('updates', rows, lambda r: r.cfg.schedule_source.epochs)
    yield from told('lr', rows, learning_rate)
    yield from told('weight decay', rows, weight_decay)
    yield from told('warm-up', rows, lambda r: r.cfg.schedule_source.warmup)
    yield from told('drops', rows, lambda r: r.cfg.schedule_source.drops)
    yield from told('AGVM from', agvm, lambda r: r.cfg.agvm_source.begin)
    yield from told('every', agvm, lambda _: 'paper')
    yield from told('clips in', clips, lambda r: r.cfg.agvm_source.clip)


def learning_rate(row: Row) -> str:
    """What a config's learning rate is from."""
    source = row.cfg.lr_source
    if 'lr' not in source:
        return source.by
    return (f'by the square-root rule from {source.lr:g} at '
            f'{source.batch:,} ({source.by})')


def weight_decay(row: Row) -> str:
    """A config's weight decay, and what the optimizer's settings are from."""
    decay = row.cfg.optim_wrapper.optimizer.weight_decay
    return f'{decay:g} ({row.cfg.optimizer_source})'


def told(title: str, rows: Sequence[Row],
         source: Callable[[Row], str]) -> Iterator[str]:
    """A line with each source of some rows and, if there are several, whose.

    Args:
        title (str): What the line begins with.
        rows (Sequence[Row]): The configs; of none, there is no line.
        source (Callable[[Row], str]): The source of one.
    """
    # What is nobody else's is ours: the page says so once.
    found = {row.path: re.sub('^ours: ', '', source(row)) for row in rows}
    names = list(dict.fromkeys(found.values()))
    if len(names) < 2:
        yield from (f'**{title}**: {name}' for name in names)
        return
    optimizers = ['', *dict.fromkeys(row.optimizer for row in rows)]
    several = {
        optimizer
        for optimizer in optimizers
        if len({found[r.path]
                for r in rows if r.optimizer == optimizer}) > 1
    }
    # What tells whose a source is: the first that is enough.
    for by in (
            lambda row: (row.optimizer, ''),
            lambda row: ('', row.batch),
            lambda row: (row.optimizer, row.batch
                         if row.optimizer in several else ''),
            lambda row: (row.optimizer, row.name),
    ):
        keys = {
            name:
            dict.fromkeys(by(row) for row in rows if found[row.path] == name)
            for name in names
        }
        if sum(map(len, keys.values())) == len(set().union(*keys.values())):
            break
    names.sort(key=lambda name: optimizers.index(next(iter(keys[name]))[0]))
    parts = [f'{whose(list(keys[name]))}: {name}' for name in names]
    yield f'**{title}**: ' + '; '.join(parts)


def whose(keys: Sequence[tuple[str, str]]) -> str:
    """Names rows by their optimizer, their batch or both."""
    batches: dict[str, list[str]] = {}
    for optimizer, batch in keys:
        batches.setdefault(optimizer, []).append(batch)
    return ', '.join(
        f'{optimizer} at {listed(own)}'.strip() if any(own) else optimizer
        for optimizer, own in batches.items())


def listed(words: Sequence[str]) -> str:
    """Words, the last after an 'and'."""
    *first, last = words
    return f'{", ".join(first)} and {last}' if first else last


def split_result(value: str, unit: str) -> tuple[str, str]:
    """A reported result without its unit, and what is said beside it."""
    result, *_ = re.split(r'; |, in |, \d+ epochs| \(', value)
    return re.sub(f' {unit}$', '', result), value[len(result):].strip(' ,;')


def reported(rows: Sequence[Row], unit: str) -> Iterator[str]:
    """A line with what is reported beside the results.

    Args:
        rows (Sequence[Row]): The pipeline's configs.
        unit (str): Of the results.
    """
    beside: dict[str, list[str]] = {}
    for row in rows:
        for who, value in row.cfg.get('reported', {}).items():
            rest = split_result(value, unit)[1]
            if rest:
                beside.setdefault(f'{rest} ({who})', []).append(row.name)
    if beside:
        said = (f'{rest}: {listed(own)}' for rest, own in beside.items())
        yield f'**reported beside it**: {"; ".join(said)}'
