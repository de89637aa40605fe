"""A day's training in small: thousands of updates, and no memory is lost.

A slow suite of half an hour: bash tools/run_tests.sh --soak. It draws what it
measured to docs/soak.png. AGVM_SOAK_SECONDS in the environment shortens it.
"""
from __future__ import annotations

import os
import time
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
import numpy as np
import pytest

from tests.commands import RETINANET, options

from .training import ROOT, STARTED, Training, children

SECONDS = float(os.environ.get('AGVM_SOAK_SECONDS', 1800))
INTERVAL = SECONDS / 360  # between two looks at the memory
WARM = 0.3  # of the run: caches fill, the allocator settles
GROWTH = 0.02  # of the memory after that, at most, over the rest of the run


def memory_of(process: int) -> float:
    """Resident memory in MiB."""
    status = Path(f'/proc/{process}/status').read_text()
    return int(status.split('VmRSS:')[1].split()[0]) / 1024


def draw(seconds: list[float], memory: np.ndarray, path: Path) -> None:
    figure, axis = plt.subplots(figsize=(7, 3.5), layout='constrained')
    for rank, values in enumerate(memory.T):
        axis.plot(np.array(seconds) / 60, values, label=f'rank {rank}')
    axis.axvline(WARM * seconds[-1] / 60, color='grey', linestyle='--')
    axis.set(xlabel='minutes', ylabel='resident memory, MiB')
    axis.set_ylim(0, 1.1 * memory.max())
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


@pytest.mark.soak
def test_memory_stays_flat(digits, tmp_path):
    training = Training(RETINANET, tmp_path, 2, [
        *options(digits, 'train_cfg.max_epochs=1000000',
                 'train_cfg.val_interval=1000000'),
        'default_hooks.checkpoint.interval=10'
    ])  # yapf: disable
    while STARTED not in training.output():
        assert training.process.poll() is None, training.output()
        time.sleep(0.1)
    ranks = children(training.process.pid)
    assert len(ranks) == 2
    start = time.time()
    seconds, memory = [], []
    while time.time() - start < SECONDS:
        seconds.append(time.time() - start)
        memory.append([memory_of(rank) for rank in ranks])
        time.sleep(INTERVAL)
    assert training.process.poll() is None, training.output()[-3000:]
    training.process.terminate()
    training.wait()

    values = np.array(memory)
    out = ROOT / 'docs/soak.png' if SECONDS >= 1800 else tmp_path / 'soak.png'
    draw(seconds, values, out)
    updates = training.output().count(STARTED)
    print(f'\n{updates} updates in {seconds[-1]:.0f} s; {out}')
    settled = values[int(WARM * len(values)):]
    for rank, of_rank in enumerate(settled.T):
        slope, _ = np.polyfit(np.arange(len(of_rank)), of_rank, 1)
        growth = slope * len(of_rank) / of_rank[0]
        print(f'rank {rank}: {of_rank[0]:.0f} MiB, then {growth:+.2%}')
        assert growth < GROWTH
