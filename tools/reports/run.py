"""A run: its rows, and what follows from them and its config."""
from __future__ import annotations

import math
import re
import statistics
from dataclasses import dataclass
from functools import cached_property

from mmengine.config import Config

from agvm_mm.engine.options import checked_options
from agvm_mm.large_batch.settings import type_name, wrappers_of

from .journal import Journal
from .logs import modules_of
from .series import values_of

# What a validation row holds beside metrics.
NO_METRICS = {
    'time', 'data_time', 'step', 'epoch', 'iter', 'memory', 'update',
    'micro_batches'
}
# The ends of the metrics' names that a model is judged by.
HEADLINES = re.compile(r'(mAP|PQ|mIoU|top1|AUC|/AP)$')


@dataclass
class Run:
    """What a report tells of a run.

    Attributes:
        title (str): What it is called.
        rows (list[dict]): Of training, see
            :func:`~reports.logs.read_rows`.
        metrics (list[dict]): Of validation.
        config (Config): As MMEngine dumped it; empty if it did not.
        journal (Journal): Of its text logs.
    """

    title: str
    rows: list[dict]
    metrics: list[dict]
    config: Config
    journal: Journal

    @cached_property
    def modules(self) -> list[str]:
        """Those that were measured; none without AGVM."""
        return modules_of(self.rows)

    @property
    def micro_batches(self) -> int:
        """Iterations of one update, in the last process that ran."""
        return self.rows[-1]['micro_batches']

    @property
    def processes(self) -> int:
        """That the log states, or that the replicas show."""
        stated = self.journal.machine.get('GPU number')
        if stated is not None:
            return int(stated)
        replicas = self.rows[-1].get('agvm/num_replicas', 0)
        return max(1, int(replicas) // self.micro_batches)

    @property
    def samples_per_gpu(self) -> int | None:
        """Of the largest micro-batch; None if the config does not tell."""
        loader = self.config.get('train_dataloader') or {}
        return loader.get('batch_size')

    @property
    def total_batch(self) -> int | None:
        """Samples of one update, as they ran; None if they are not known."""
        if self.samples_per_gpu is None:
            return None
        micro_batches = self.processes * self.micro_batches
        running = self.samples_per_gpu * micro_batches
        stated = self.config.get('total_batch_size')
        # Dealt unevenly, some micro-batches are smaller by one sample.
        if stated and 0 <= running - stated < micro_batches:
            return stated
        return running

    @property
    def updates(self) -> int:
        """That were done, as far as the log goes."""
        return max(row['update'] for row in (*self.rows[-1:], *self.metrics))

    @property
    def log_interval(self) -> int:
        """Updates between the last two rows of the log."""
        return self.rows[-1]['update'] - self.rows[-2:][0]['update']

    @property
    def epoch(self) -> float | None:
        """Updates of an epoch; None where the training counts none."""
        iterations = self.journal.epoch
        return iterations / self.micro_batches if iterations else None

    @property
    def planned(self) -> int | None:
        """Updates of the whole training; None if they are not known."""
        settings = self.config.get('train_cfg') or {}
        if self.epoch and settings.get('max_epochs'):
            return math.ceil(self.epoch * settings['max_epochs'])
        iterations = self.journal.iterations
        return iterations // self.micro_batches if iterations else None

    @property
    def options(self) -> list[dict]:
        """AGVM's, of each optimizer wrapper that has them."""
        return [
            checked_options(wrapper['agvm'])
            for wrapper in wrappers_of(self.config).values()
            if 'agvm' in wrapper
        ]

    @property
    def optimizer(self) -> str:
        """Its name."""
        return ', '.join(
            dict.fromkeys(
                type_name(wrapper.get('optimizer'))
                for wrapper in wrappers_of(self.config).values()))

    @property
    def begin(self) -> int | None:
        """The first update that is measured; None if none was."""
        stated = [o['begin'] for o in self.options if o['begin'] != 'auto']
        if stated:
            return min(stated)
        if self.journal.begin is not None:
            return self.journal.begin
        return next((row['update'] - 1
                     for row in self.rows if 'agvm/skipped' in row), None)

    @property
    def due(self) -> int:
        """Measurements that were due."""
        if self.begin is None:
            return 0
        due = 0
        for options in self.options:
            stated, end = options['begin'], options['end']
            begin = self.begin if stated == 'auto' else stated
            last = self.updates if end is None else min(self.updates, end)
            due += len(range(begin, last, options['interval']))
        return due

    @property
    def skipped(self) -> int:
        """Measurements that were due and not taken, over all wrappers."""
        return int(
            sum(value for key, value in self.rows[-1].items()
                if key.startswith('agvm/skipped')))

    @property
    def headlines(self) -> list[str]:
        """The metrics that the model is judged by."""
        names = self.metric_names
        return [n for n in names if HEADLINES.search(n)] or names[:1]

    @property
    def metric_names(self) -> list[str]:
        """All metrics, in the order of the log."""
        return list(
            dict.fromkeys(
                key for row in self.metrics for key, value in row.items()
                if key not in NO_METRICS and isinstance(value, (int, float))))

    def seconds(self, key: str = 'time') -> list[tuple[int, float]]:
        """Seconds of an update, at each row of the log.

        Args:
            key (str): 'time', or 'data_time' for the wait for data. Defaults
                to 'time'.
        """
        return [(row['update'], row[key] * row['micro_batches'])
                for row in self.rows if key in row]

    def images_a_second(self) -> list[tuple[int, float]]:
        """At each row of the log; none where the batch is not known."""
        if self.total_batch is None:
            return []
        return [(update, self.total_batch / seconds)
                for update, seconds in self.seconds() if seconds > 0]

    def speed(self) -> float | None:
        """The median of the images a second."""
        found = [value for _, value in self.images_a_second()]
        return statistics.median(found) if found else None

    def final(self, metric: str) -> float | None:
        """A metric's last value; None if there is none.

        Args:
            metric (str): Its name.
        """
        values = values_of(self.metrics, metric)
        return values[-1][1] if values else None
