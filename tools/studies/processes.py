"""Trainings in processes of their own, and the files of what they came to."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ThreadPoolExecutor,
    wait,
)
from pathlib import Path
from typing import Any, Callable, Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

ROOT = Path(__file__).parents[2]
# MMEngine reads configs as modules of one name, one at a time.
CONFIGS = threading.Lock()


class Processes:
    """Runs ``tools/train.py``, one thread a process.

    A subclass knows what it is to train, and what came of it.

    Args:
        cwd (Path): From which they run: relative paths of their configs begin
            there.
    """

    def __init__(self, cwd: Path) -> None:
        self._cwd = cwd
        self._stopped = False
        self._running: set[subprocess.Popen] = set()

    def execute(self, run: Any) -> dict:
        """Train, and write what came of it.

        Args:
            run (Any): What a subclass takes.

        Returns:
            dict: The result.
        """
        raise NotImplementedError

    def told(self, result: dict) -> str:
        """What a run came to, in one line.

        Args:
            result (dict): Of :meth:`execute`.
        """
        raise NotImplementedError

    def stop(self) -> None:
        """End the trainings that run; no other begins."""
        self._stopped = True
        for training in list(self._running):
            training.terminate()

    def train(self, work_dir: Path) -> int:
        """Train, and wait.

        Args:
            work_dir (Path): Holds the config, ``run.py``; what the training
                prints goes into its ``log.txt``.

        Returns:
            int: What the process ended with.
        """
        return self.call(work_dir / 'log.txt', 'train.py', work_dir / 'run.py',
                         '--work-dir', work_dir)

    def call(self, log: Path, tool: str, *arguments: str | Path) -> int:
        """Run one of our tools on one thread, and wait.

        Args:
            log (Path): For what it prints.
            tool (str): A file of ``tools/``.
            *arguments (str or Path): Of its command line.

        Returns:
            int: What the process ended with.
        """
        one_thread = dict(OMP_NUM_THREADS='1', MKL_NUM_THREADS='1')
        with open(log, 'w') as file:
            process = subprocess.Popen(
                [sys.executable, ROOT / 'tools' / tool, *arguments],
                cwd=self._cwd,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    **one_thread
                })
        self._running.add(process)
        if self._stopped:
            process.terminate()
        try:
            return process.wait()
        finally:
            self._running.discard(process)


def read_results(folder: Path) -> list[dict]:
    """Every stored result, by name.

    Args:
        folder (Path): Of the result files.
    """
    return [json.loads(path.read_text())
            for path in sorted(folder.glob('[!.]*.json'))]  # yapf: disable


def write_result(result: dict, folder: Path) -> None:
    """Write a result's file, whole or not at all.

    Args:
        result (dict): Its ``name`` names the file.
        folder (Path): Made if it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f'.{result["name"]}.json'
    partial.write_text(json.dumps(result) + '\n')
    partial.rename(folder / f'{result["name"]}.json')


def run_all(trainings: Processes, todo: Callable[[], Sequence[Any]], jobs: int,
            console: Console) -> None:
    """Execute runs until there is none that can begin.

    Args:
        trainings (Processes): Executes them.
        todo (Callable): Returns the runs that can begin, as ``trainings``
            takes them, the next one first. It is asked again whenever one is
            done, because others may have waited for it.
        jobs (int): How many at once.
        console (Console): Shows progress and what each run came to.
    """
    columns = (TextColumn('runs'), BarColumn(), MofNCompleteColumn(),
               TimeElapsedColumn(), TextColumn('left'), TimeRemainingColumn())
    begun: list[Any] = []
    futures: set[Future] = set()
    with Progress(*columns, console=console) as progress, \
            ThreadPoolExecutor(jobs) as pool:
        task = progress.add_task('runs', total=None)
        try:
            while True:
                waiting = [run for run in todo() if run not in begun]
                for run in waiting[:jobs - len(futures)]:
                    begun.append(run)
                    futures.add(pool.submit(trainings.execute, run))
                if not futures:
                    return
                progress.update(
                    task,
                    total=len(begun) + sum(run not in begun
                                           for run in waiting))
                done, futures = wait(futures, return_when=FIRST_COMPLETED)
                for future in done:
                    progress.console.print(
                        trainings.told(future.result()), soft_wrap=True)
                    progress.advance(task)
        except BaseException:
            trainings.stop()
            raise


def failure(name: str, log: Path) -> RuntimeError:
    """That a process failed, with the last line that it printed.

    Args:
        name (str): Of the run.
        log (Path): Of :meth:`Processes.call`.
    """
    printed = log.read_text().strip() or 'nothing was printed'
    return RuntimeError(f'{name} failed, see {log}: '
                        f'{printed.splitlines()[-1]}')


def commit() -> str:
    """The commit of this checkout, in short."""
    return subprocess.run(['git', 'rev-parse', '--short', 'HEAD'],
                          cwd=ROOT,
                          stdout=subprocess.PIPE,
                          text=True).stdout.strip()
