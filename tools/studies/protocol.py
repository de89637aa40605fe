"""A protocol: which runs it asks for, and what the done ones decide.

Its runs are of three kinds. *Trials*, on the validation split, are the same
pairs of a learning rate and a horizon for every method and batch. Those at
the small batch set the *targets*, and those at other batches end at the upper
one. *Final runs*, on the test split, take each cell's best trial.
"""
from __future__ import annotations

import dataclasses
import math
from typing import Iterator, Sequence

from mmengine.config import Config

from .cells import Cell, updates_to
from .runs import TRIALS, Run, is_chosen, listed, multiplied, other_method
from .trials import trials


class Protocol:
    """A study with a ``protocol``, and what is done of it.

    An entry of its ``runs`` says ``lr: trials``, or ``lr`` and ``updates``,
    for trials; ``lr: best``, or ``lr: best of METHOD``, and ``split: test``
    for final runs.

    Args:
        study (Config): From :func:`~studies.grid.read_study`.
        results (Sequence[dict]): What is done already.
    """

    def __init__(self, study: Config, results: Sequence[dict]) -> None:
        self.study = study
        self.settings = study.protocol
        self.results = {result['name']: result for result in results}
        self._entries = [entry.to_dict() for entry in study.runs]
        self._targets: dict[str, list[float] | None] = {}

    @property
    def pipelines(self) -> list[str]:
        """Those of its runs, in the order of the file."""
        named = (listed(entry['pipeline']) for entry in self._entries)
        return list(dict.fromkeys(name for names in named for name in names))

    def runs(self) -> Iterator[Run]:
        """Every run, in the order of the file.

        Yields:
            Run: With an ``lr`` of None while its best trial is not known.
        """
        for entry in self._entries:
            for chosen in multiplied(entry):
                if is_chosen(chosen['lr']):
                    method = other_method(chosen['lr']) or chosen['method']
                    best = self.best(chosen['pipeline'], method,
                                     chosen['batch'])
                    lr, updates = (None, None) if best is None else (
                        best['run']['lr'], best['run']['updates'])
                    yield Run(**{**chosen, 'lr': lr, 'updates': updates})
                else:
                    yield from self._trials_of(chosen)

    def ready(self) -> list[Run]:
        """The runs that are not done and can begin, in the file's order."""
        found = []
        for run in self.runs():
            if run.lr is None or run.name in self.results:
                continue
            if run.split == 'val' and run.batch != self.settings.small_batch:
                targets = self.targets(run.pipeline)
                if targets is None:
                    continue
                upper = targets[0]
                if math.isfinite(upper):
                    run = dataclasses.replace(run, stop_at=upper)
            found.append(run)
        return found

    def trials(self,
               pipeline: str,
               batch: int,
               methods: Sequence[str] | None = None) -> list[Run]:
        """The trials of a cell, or of several methods, without controls.

        Args:
            pipeline (str): What is trained.
            batch (int): Samples of an update.
            methods (Sequence[str], optional): How. Defaults to None, all.
        """
        return [
            run for entry in self._entries for chosen in multiplied(entry)
            if not is_chosen(chosen['lr']) and not chosen.get('tag')
            and chosen['pipeline'] == pipeline and chosen['batch'] == batch and
            (methods is None or chosen['method'] in methods)
            for run in self._trials_of(chosen)
        ]

    def targets(self, pipeline: str) -> list[float] | None:
        """The metrics to reach, the upper one first.

        Shares of the best final metric among the small batch's trials of the
        methods that the protocol names as its ``reference``.

        Args:
            pipeline (str): What is trained.

        Returns:
            list[float] or None: None while one of these is not done; infinity
            if none of them learned anything.
        """
        if pipeline not in self._targets:
            done = self._done(
                self.trials(pipeline, self.settings.small_batch,
                            self.settings.reference))
            self._targets[pipeline] = None if done is None else [
                # As metrics are stored, or the best itself might miss it.
                round(share * reference, 4) if reference > 0 else math.inf
                for reference in [max(r['final'] for r in done)]
                for share in self.settings.targets
            ]
        return self._targets[pipeline]

    def best(self, pipeline: str, method: str, batch: int) -> dict | None:
        """The result of a cell's best trial.

        Args:
            pipeline (str): What is trained.
            method (str): How.
            batch (int): Samples of an update.

        Returns:
            dict or None: None while a trial of it, or of those that set the
            targets, is not done.

        Raises:
            ValueError: If a trial ended at another target.
        """
        targets = self.targets(pipeline)
        done = self._done(self.trials(pipeline, batch, [method]))
        if targets is None or not done:
            return None
        for result in done:
            ended_at = result['run']['stop_at']
            if ended_at not in (None, targets[0]):
                raise ValueError(
                    f'the run {result["name"]} ended at {ended_at}, and the '
                    f'upper target is {targets[0]} by now, as trials at batch '
                    f'{self.settings.small_batch} were changed: remove its '
                    'result, and it is run again')
        return best_trial(done, targets)

    def finals(self, pipeline: str) -> dict[Cell, list[dict]]:
        """The final runs that are done, by cell; controls too.

        Args:
            pipeline (str): What is trained.

        Returns:
            dict[Cell, list[dict]]: In the order of names; cells of which none
            is done are left out, and results are by seed.
        """
        found: dict[Cell, list[dict]] = {}
        for run in self.runs():
            result = self.results.get(run.name)
            if result and run.split == 'test' and run.pipeline == pipeline:
                cell = Cell(run.pipeline, run.method, run.batch, run.tag)
                found.setdefault(cell, []).append(result)
        return {
            cell: sorted(found[cell], key=lambda r: r['run']['seed'])
            for cell in sorted(found)
        }

    def progress(self) -> dict[tuple[Cell, str], tuple[int, int]]:
        """How many runs of each cell and split are done, and of how many."""
        found: dict[tuple[Cell, str], tuple[int, int]] = {}
        for run in self.runs():
            key = Cell(run.pipeline, run.method, run.batch, run.tag), run.split
            done, asked = found.get(key, (0, 0))
            found[key] = done + (run.name in self.results), asked + 1
        return found

    def _trials_of(self, chosen: dict) -> Iterator[Run]:
        """What an entry, of one method and batch, asks for."""
        if chosen['lr'] != TRIALS:
            yield Run(**chosen)
            return
        for lr, updates in trials(self.settings, chosen['method'],
                                  chosen['batch']):
            yield Run(**{**chosen, 'lr': lr, 'updates': updates})

    def _done(self, runs: Sequence[Run]) -> list[dict] | None:
        """The results of runs; None while one is not done."""
        found = [self.results.get(run.name) for run in runs]
        return None if None in found else found  # type: ignore


def best_trial(of_cell: Sequence[dict], targets: Sequence[float]) -> dict:
    """The trial that reached the upper target in the fewest updates.

    If none reached it, the one that so reached the next; if none reached any,
    the one with the best last metric.

    Args:
        of_cell (Sequence[dict]): Results of trials.
        targets (Sequence[float]): Of the metric, the upper one first.
    """
    for target in targets:
        fastest = min(of_cell, key=lambda r: updates_to(r, target))
        if math.isfinite(updates_to(fastest, target)):
            return fastest
    return max(of_cell, key=lambda result: result['final'])
