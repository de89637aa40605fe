"""Trainings in processes of their own, and the files of what they came to."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Sequence

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
    """

    def __init__(self) -> None:
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
        command = [
            sys.executable, ROOT / 'tools/train.py', work_dir / 'run.py',
            '--work-dir', work_dir
        ]
        one_thread = dict(OMP_NUM_THREADS='1', MKL_NUM_THREADS='1')
        with open(work_dir / 'log.txt', 'w') as log:
            training = subprocess.Popen(
                command,
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    **one_thread
                })
        self._running.add(training)
        if self._stopped:
            training.terminate()
        try:
            return training.wait()
        finally:
            self._running.discard(training)


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


def run_all(trainings: Processes, todo: Sequence[Any], jobs: int,
            console: Console) -> None:
    """Execute runs.

    Args:
        trainings (Processes): Executes them.
        todo (Sequence): The runs, as it takes them.
        jobs (int): How many at once.
        console (Console): Shows progress and what each run came to.
    """
    columns = (TextColumn('runs'), BarColumn(), MofNCompleteColumn(),
               TimeElapsedColumn(), TextColumn('left'), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress, \
            ThreadPoolExecutor(jobs) as pool:
        task = progress.add_task('runs', total=len(todo))
        futures = [pool.submit(trainings.execute, run) for run in todo]
        try:
            for future in as_completed(futures):
                progress.console.print(
                    trainings.told(future.result()), soft_wrap=True)
                progress.advance(task)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            trainings.stop()
            raise


def commit() -> str:
    """The commit of this checkout, in short."""
    return subprocess.run(['git', 'rev-parse', '--short', 'HEAD'],
                          cwd=ROOT,
                          stdout=subprocess.PIPE,
                          text=True).stdout.strip()
