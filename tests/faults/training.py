"""Real trainings that are cut off, and what is left of them."""
from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Sequence

from agvm_mm.recovery.preemption import PREEMPTED
from tests.commands import free_port

ROOT = Path(__file__).parents[2]
STARTED = 'Epoch(train)'  # in the log, once an update was done
# How a training is cut off: the signal, and whether to one rank, to the
# launcher or to all of its processes.
CUTS = {
    'kill one rank': (signal.SIGKILL, 'rank'),
    'kill all': (signal.SIGKILL, 'all'),
    'kill the launcher': (signal.SIGKILL, 'launcher'),
    'SIGTERM to the launcher': (signal.SIGTERM, 'launcher'),
    'SIGUSR1 to the launcher': (signal.SIGUSR1, 'launcher'),
    'SIGTERM to one rank': (signal.SIGTERM, 'rank'),
    'SIGUSR1 to one rank': (signal.SIGUSR1, 'rank'),
}


class Training:
    """A training in processes of its own.

    Args:
        config (Path): Its config.
        work_dir (Path): Its work dir; the log goes there too.
        ranks (int): Processes; 1 for none but tools/train.py.
        arguments (Sequence[str]): For tools/train.py.
        **env (str): For tools/dist_train.sh, which one process then has too.
    """

    def __init__(self, config: Path, work_dir: Path, ranks: int,
                 arguments: Sequence[str], **env: str) -> None:
        command = [sys.executable, str(ROOT / 'tools/train.py'), str(config)]
        self.launched = ranks > 1 or bool(env)
        if self.launched:
            command = [
                'bash',
                str(ROOT / 'tools/dist_train.sh'),
                str(config),
                str(ranks)
            ]
        work_dir.mkdir(parents=True, exist_ok=True)
        self.log = work_dir / f'log_{time.time_ns()}.txt'
        path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
        with open(self.log, 'w') as log:
            self.process = subprocess.Popen(
                [*command, '--work-dir',
                 str(work_dir), *arguments],
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ, 'PATH': path,
                    'PORT': free_port(),
                    'OMP_NUM_THREADS': '1',
                    **env
                },
                start_new_session=True)

    def output(self) -> str:
        """The log so far."""
        return self.log.read_text()

    def wait(self, timeout: float = 300) -> int:
        """The exit status."""
        return self.process.wait(timeout)

    def cut(self, how: str, rng: random.Random, longest: float) -> bool:
        """Cut it off at a random moment after its first update.

        Args:
            how (str): One of ``CUTS``.
            rng (random.Random): Chooses the moment, and the rank.
            longest (float): Seconds after the first update.

        Returns:
            bool: False if it had ended before.
        """
        while STARTED not in self.output():
            if self.process.poll() is not None:
                return False
            time.sleep(0.02)
        time.sleep(rng.uniform(0, longest))
        if self.process.poll() is not None:
            return False
        number, whom = CUTS[how]
        # torchrun's ranks are in sessions of their own, which no signal to
        # the launcher's group reaches.
        ranks = children(self.process.pid) if self.launched else []
        targets = dict(
            all=[self.process.pid, *ranks],
            launcher=[self.process.pid],
            rank=[rng.choice(ranks or [self.process.pid])])
        for process in targets[whom]:
            os.kill(process, number)
        code = self.wait()
        wait_for_the_end(ranks)
        if number != signal.SIGKILL:
            # Or it had ended by then.
            assert code in (0, PREEMPTED), (code, self.output())
        return code != 0


def children(parent: int) -> list[int]:
    """Processes that a process has started."""
    tasks = Path(f'/proc/{parent}/task/{parent}/children')
    return [int(child) for child in tasks.read_text().split()]


def wait_for_the_end(processes: Sequence[int]) -> None:
    """Until they are dead, or a run that is resumed would train beside them.

    Args:
        processes (Sequence[int]): Of a training that was cut.

    Raises:
        TimeoutError: If one is alive after a minute.
    """
    end = time.time() + 60
    while any(map(alive, processes)):
        if time.time() > end:
            raise TimeoutError(f'of {processes} some are alive')
        time.sleep(0.02)


def kill_those_that_run(script: Path) -> None:
    """Kill what a failed test leaves behind, in whatever session it is.

    Args:
        script (Path): That none but its processes name in their command.
    """
    for command in Path('/proc').glob('[0-9]*/cmdline'):
        with contextlib.suppress(OSError):
            if os.fsencode(script) in command.read_bytes().split(b'\0'):
                os.kill(int(command.parent.name), signal.SIGKILL)


def alive(process: int) -> bool:
    """Whether a process is there, and no zombie.

    Args:
        process (int): Its number.
    """
    try:
        status = Path(f'/proc/{process}/stat').read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rsplit(')', 1)[1].split()[0] != 'Z'
