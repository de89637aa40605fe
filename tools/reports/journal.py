"""What a run's text logs tell that its JSON logs do not: how it went."""
from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from .logs import RESUMED

LINE = re.compile(r'(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) - .+? - ([A-Z]+) - (.*)')
TRAINING = re.compile(r'Epoch\(train\) +\[ *(\d+)\]\[ *(\d+)/(\d+)\]|'
                      r'Iter\(train\) +\[ *(\d+)/(\d+)\]')
STOPPED = re.compile(r'SIG[A-Z0-9]+: stopped after iteration (\d+) of')
BEGINS = re.compile(r'AGVM begins at update (\d+)')
# What MMEngine tells of the machine, before it trains.
MACHINE = re.compile(
    r'^ +(PyTorch|MMEngine|GPU number|GPU 0[0-9,]*|seed'
    r'): (.+)$', re.M)
# The beginnings of the warnings that are events; errors all are.
TOLD = ('AGVM ', 'The config states ', 'Resume passes over ')


class Event(NamedTuple):
    """Something that happened in a run.

    Attributes:
        update (int, optional): The updates that were done.
        time (str): When, as the log writes it.
        kind (str): 'resumed', 'preempted', 'cut off', 'warning' or 'error'.
        text (str): What the log says.
    """

    update: int | None
    time: str
    kind: str
    text: str


@dataclass
class Journal:
    """What the text logs of a run tell.

    Attributes:
        seconds (float): From the first line to the last, of each process
            that was started.
        started (str): The first line's time.
        machine (dict[str, str]): Versions and the number of processes.
        epoch (int, optional): Iterations of one, as the last log counts.
        iterations (int, optional): Of a training that counts no epochs.
        begin (int, optional): The update at which ``begin='auto'`` came out.
        events (list[Event]): In their order.
    """

    seconds: float = 0.0
    started: str = ''
    machine: dict[str, str] = field(default_factory=dict)
    epoch: int | None = None
    iterations: int | None = None
    begin: int | None = None
    events: list[Event] = field(default_factory=list)


def read_journal(work_dir: Path, micro_batches: dict[str, int]) -> Journal:
    """Read the text logs of a run, from where it last began anew.

    Args:
        work_dir (Path): Where MMEngine logged.
        micro_batches (dict[str, int]): Iterations of one update, by the name
            of the log's folder.
    """
    chain: list[tuple[str, str]] = []
    for path in sorted(work_dir.glob('*/*.log'), reverse=True):
        text = path.read_text(errors='replace')
        resumed = RESUMED.search(text)
        if resumed or TRAINING.search(text):
            chain.insert(0, (path.parent.name, text))
            if not resumed:
                break
    journal = Journal()
    for index, (name, text) in enumerate(chain):
        _read(
            text,
            micro_batches.get(name, 1),
            journal,
            is_last=index == len(chain) - 1)
    return journal


def _read(text: str, micro_batches: int, journal: Journal, *,
          is_last: bool) -> None:
    """Add what one log tells."""
    journal.machine.update(MACHINE.findall(text))
    times, stopped, update = [], False, None
    for time, level, said in LINE.findall(text):
        times.append(time)
        event = None
        if (found := TRAINING.match(said)):
            epoch, inner, length, iteration, last = found.groups()
            if epoch:
                journal.epoch = int(length)
                iteration = (int(epoch) - 1) * int(length) + int(inner)
            else:
                journal.iterations = int(last)
            update = -(-int(iteration) // micro_batches)
        elif (found := RESUMED.match(said)):
            update = int(found[1]) // micro_batches
            event = 'resumed'
        elif (found := STOPPED.match(said)):
            update = int(found[1]) // micro_batches
            event, stopped = 'preempted', True
        elif (found := BEGINS.match(said)):
            journal.begin = int(found[1])
        elif level in ('ERROR', 'CRITICAL'):
            event, stopped = 'error', True
        elif level == 'WARNING' and said.startswith(TOLD):
            event = 'warning'
        if event:
            journal.events.append(Event(update, time, event, said))
    if not times:
        return
    journal.started = journal.started or times[0]
    journal.seconds += _seconds(times[0], times[-1])
    if not is_last and not stopped:
        journal.events.append(
            Event(update, times[-1], 'cut off',
                  'the log ends here, and the run was started again'))


def _seconds(first: str, last: str) -> float:
    begin, end = (
        datetime.strptime(time, '%Y/%m/%d %H:%M:%S') for time in (first, last))
    return (end - begin).total_seconds()
