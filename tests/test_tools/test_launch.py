"""Signals to tools/dist_train.sh's launcher, whose ranks are plain Python."""
import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from command_line.agents import grace_seconds
from command_line.torchrun import check_gpus

from agvm_mm.recovery.preemption import PREEMPTED
from tests.commands import ROOT, free_port
from tests.faults.training import kill_those_that_run, wait_for_the_end

# It notes the signals that it gets; at the first one it ends.
RANK = f"""
import os, signal, sys, time
sys.path.insert(0, {str(ROOT)!r})
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location(
    'parent', {str(ROOT / 'agvm_mm/recovery/parent.py')!r})
parent = module_from_spec(spec)
spec.loader.exec_module(parent)
parent.end_with_launcher()
folder, code = sys.argv[1:]
rank = os.environ['RANK']
def note(number, frame):
    with open(f'{{folder}}/got_{{rank}}', 'a') as file:
        file.write(f'{{int(number)}} ')
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, note)
with open(f'{{folder}}/started_{{rank}}.new', 'w') as file:
    file.write(str(os.getpid()))
os.rename(f'{{folder}}/started_{{rank}}.new', f'{{folder}}/started_{{rank}}')
while not os.path.exists(f'{{folder}}/got_{{rank}}') or code == 'never':
    time.sleep(0.05)
time.sleep(1)
sys.exit(int(code))
"""


class Launched:
    """Two ranks under the launcher."""

    def __init__(self, folder, code, **env):
        self.script = script = folder / 'rank.py'
        script.write_text(RANK)
        self.folder = folder
        self.launcher = subprocess.Popen(
            [
                sys.executable,
                str(ROOT / 'tools/command_line/launch.py'),
                f'--master_port={free_port()}', '--nproc_per_node=2',
                str(script),
                str(folder),
                str(code)
            ],
            stderr=subprocess.PIPE,
            text=True,
            env=dict(os.environ, OMP_NUM_THREADS='1', **env))

    def wait_for_the_ranks(self):
        """Until both have started."""
        end = time.monotonic() + 60
        while len(list(self.folder.glob('started_?'))) < 2:
            if self.launcher.poll() is not None or time.monotonic() > end:
                self.kill()
                pytest.fail(self.launcher.stderr.read())
            time.sleep(0.05)
        self.ranks = [
            int(path.read_text()) for path in self.folder.glob('started_?')
        ]

    def kill(self):
        """Whatever is left of them."""
        self.launcher.kill()
        self.launcher.wait()
        kill_those_that_run(self.script)

    def end(self, number, whom=None):
        """Send a signal; the exit code of the launcher."""
        os.kill(whom or self.launcher.pid, number)
        self.launcher.communicate(timeout=60)
        wait_for_the_end(self.ranks)
        return self.launcher.returncode

    def got(self):
        """The signals that each rank got."""
        return [
            path.read_text().split()
            for path in sorted(self.folder.glob('got_?'))
        ]


@pytest.fixture(name='launch')
def _launch(tmp_path):
    """Call it for ranks that have started; a failed test leaves none."""
    with contextlib.ExitStack() as stack:

        def launch(code, **env):
            launched = Launched(tmp_path, code, **env)
            stack.callback(launched.kill)
            launched.wait_for_the_ranks()
            return launched

        yield launch


@pytest.mark.parametrize(('number', 'code'), [
    (signal.SIGUSR1, PREEMPTED),
    (signal.SIGHUP, 3),
])
def test_a_signal_reaches_each_rank_once(launch, number, code):
    launched = launch(code)
    assert launched.end(number) == code
    # torchrun sends SIGTERM to a rank that ends after the other.
    assert [got.count(str(int(number))) for got in launched.got()] == [1, 1]


def test_ranks_that_do_not_end_are_killed(launch):
    launched = launch('never', GRACE_SECONDS='0.5')
    assert launched.end(signal.SIGTERM) == 128 + signal.SIGKILL


def test_ranks_end_with_a_launcher_that_is_killed(launch):
    launched = launch('never')
    assert launched.end(signal.SIGKILL) == -signal.SIGKILL
    assert launched.got() == []


def test_a_rank_ends_whose_launcher_died_before(tmp_path):
    launcher = subprocess.Popen([sys.executable, '-c', ''])
    launcher.wait()
    script = tmp_path / 'rank.py'
    script.write_text(RANK)
    rank = subprocess.run(
        [sys.executable, str(script), str(tmp_path), '0'],
        env=dict(
            os.environ,
            RANK='0',
            TORCHELASTIC_RUN_ID='run',
            LAUNCHER_PID=str(launcher.pid)),
        timeout=60)
    assert rank.returncode == -signal.SIGKILL


@pytest.mark.parametrize('value', ['0', '-1', 'inf', 'nan', 'long'])
def test_a_grace_of_no_seconds(value, monkeypatch):
    monkeypatch.setenv('GRACE_SECONDS', value)
    with pytest.raises(ValueError, match=f'^GRACE_SECONDS={value} must be a'):
        grace_seconds()


@pytest.mark.parametrize(('found', 'asked', 'refused'), [
    (4, '8', True),
    (4, '4', False),
    (0, '8', False),  # on CPUs
    (4, 'gpu', False),
])
def test_a_gpu_for_each_process(found, asked, refused, monkeypatch):
    """How many there are is said here, where there may be none."""
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: found)
    if refused:
        with pytest.raises(ValueError, match='8 processes were asked'):
            check_gpus(asked)
    else:
        check_gpus(asked)
