"""One run of a study: its process, its result."""
from __future__ import annotations

import shutil
import time
from dataclasses import asdict
from pathlib import Path

from mmengine.config import Config

from agvm_mm.large_batch import split_batch, updates_per_epoch

from .processes import (
    CONFIGS,
    ROOT,
    Processes,
    commit,
    failure,
    write_result,
)
from .run_config import build_config
from .run_log import read_test, read_training
from .runs import Run


class Trainings(Processes):
    """Executes runs, each in a process of its own.

    Args:
        study (Config): The study.
        results (Path): Folder of the result files. A run's file is written
            when it is done, and not before.
        root (Path): Folder of the work dirs, absolute.
    """

    def __init__(self, study: Config, results: Path, root: Path) -> None:
        super().__init__(ROOT)  # The studies' configs are of this checkout.
        self.study = study
        self.results = results
        self.root = root

    def execute(self, run: Run) -> dict:
        """Train, and write what came of it.

        Args:
            run (Run): One of the study's runs.

        Returns:
            dict: The result.

        Raises:
            RuntimeError: If the training failed otherwise than by diverging.
        """
        work_dir = self.root / run.name
        shutil.rmtree(work_dir, ignore_errors=True)
        work_dir.mkdir(parents=True)
        with CONFIGS:
            cfg = build_config(self.study, run)
            cfg.dump(work_dir / 'run.py')
        start, trained = time.time(), commit()
        code = self.train(work_dir)
        text = (work_dir / 'log.txt').read_text()
        diverged = code != 0 and 'infinite or NaN' in text
        if code != 0 and not diverged:
            raise failure(run.name, work_dir / 'log.txt')
        micro_batches = split_batch(run.batch, 1, cfg.max_samples_per_gpu)[1]
        result = dict(
            name=run.name,
            run=asdict(run),
            commit=trained,
            diverged=diverged,
            micro_batches=micro_batches)
        if run.updates is None:
            result.update(
                epochs=cfg.train_cfg.max_epochs,
                updates_per_epoch=updates_per_epoch(self.study.data.num_train,
                                                    run.batch))
        result.update(
            read_training(work_dir, self.study.pipelines[run.pipeline],
                          1 if run.updates is None else micro_batches))
        if diverged:
            result['final'] = 0.0
        if run.updates is not None and run.split == 'test':
            result['test'] = 0.0 if diverged else self._test(run, work_dir)
        result['seconds'] = round(time.time() - start)
        write_result(result, self.results)
        return result

    def told(self, result: dict) -> str:
        """What a run came to, in one line.

        Args:
            result (dict): Of :meth:`execute`.
        """
        return (f'{result["name"]}: {result["final"]:.3f} in '
                f'{result["seconds"]} s')

    def _test(self, run: Run, work_dir: Path) -> float:
        """Test the last checkpoint, and remove it."""
        checkpoint, = work_dir.glob('*.pth')
        log = work_dir / 'test.txt'
        if self.call(log, 'test.py', work_dir / 'run.py', checkpoint,
                     '--work-dir', work_dir / 'test'):
            raise failure(run.name, log)
        checkpoint.unlink()
        return read_test(work_dir / 'test', self.study.pipelines[run.pipeline])
