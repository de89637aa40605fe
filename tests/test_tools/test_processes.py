"""The order in which runs begin."""
import pytest
from rich.console import Console
from studies.processes import ROOT, Processes, run_all

# What each waits for, in the order of a file.
WAITS = dict(trial=None, final='trial', other=None)


class Recorded(Processes):
    """Executes nothing, and keeps what was asked."""

    def __init__(self, failing=None):
        super().__init__(ROOT)
        self.done = []
        self.failing = failing

    def execute(self, run):
        if run == self.failing:
            raise RuntimeError(f'{run} failed')
        self.done.append(run)
        return dict(name=run)

    def told(self, result):
        return result['name']

    def todo(self):
        return [
            run for run, first in WAITS.items()
            if run not in self.done and (first is None or first in self.done)
        ]


def test_a_run_that_may_begin_at_last_is_not_the_last():
    runs = Recorded()
    run_all(runs, runs.todo, 1, Console(quiet=True))
    assert runs.done == ['trial', 'final', 'other']


def test_a_list_is_done_once():
    runs = Recorded()
    run_all(runs, lambda: [*WAITS], 2, Console(quiet=True))
    assert sorted(runs.done) == sorted(WAITS)


def test_no_run_begins_after_one_that_failed():
    runs = Recorded(failing='trial')
    with pytest.raises(RuntimeError, match='trial failed'):
        run_all(runs, runs.todo, 1, Console(quiet=True))
    assert runs.done == []
