"""What it costs that a run can be cut: seeds, questions, safe writing.

Each is timed by itself, as what it adds is far below the spread of whole
iterations. Writing takes turns with MMEngine's, on the disk of a folder.
"""
from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import save_checkpoint

from agvm_mm.recovery.agreement import Agreement
from agvm_mm.recovery.files import begun, drop, put_in_place
from agvm_mm.recovery.randomness import seed_all

from .ranks import launch
from .stopwatch import summary
from .training import ROOT, Pipeline, build_model

BESIDE = 0.05  # seconds of training beside which a question goes around


def measure(pipeline: Pipeline, *, ranks: int, repetitions: int,
            folder: Path, iteration: float) -> dict[str, Any]:
    """Measure all three.

    Args:
        pipeline (Pipeline): Whose checkpoint is written.
        ranks (int): Processes that ask each other.
        repetitions (int): Checkpoints of each way.
        folder (Path): On the disk to write to.
        iteration (float): Seconds of one of the pipeline's.

    Returns:
        dict: What benchmark.py writes. Shares are of an iteration that seeds
        and asks once, and of an epoch that writes once.
    """
    own = dict(
        seeds=summary(_seeds()),
        question=summary(
            [s for found in launch(ranks, _questions) for s in found]))
    size, plain, own['writing'] = _writing(pipeline, repetitions, folder)
    times = dict(seeds=1, question=1, writing=1 / pipeline.updates)
    return dict(
        ranks=ranks,
        checkpoint_bytes=size,
        plain_writing=plain,
        iteration_seconds=iteration,
        updates=pipeline.updates,
        own_seconds=own,
        share={
            name: times[name] * seconds['median'] / iteration
            for name, seconds in own.items()
        })


def _seeds(times: int = 1000) -> list[float]:
    found = []
    for update in range(times):
        start = time.perf_counter()
        seed_all(0, 1, update, 0)
        found.append(time.perf_counter() - start)
    return found


def _questions(times: int = 50) -> list[float]:
    dist.init_process_group('gloo')
    agreement = Agreement()
    found = []
    for _ in range(times):
        start = time.perf_counter()
        agreement.ask(0)
        asked = time.perf_counter()
        time.sleep(BESIDE)
        begin = time.perf_counter()
        agreement.answer()
        found.append(asked - start + time.perf_counter() - begin)
    agreement.close()
    return found


def _writing(pipeline: Pipeline, repetitions: int,
             folder: Path) -> tuple[int, dict, dict]:
    """A checkpoint's bytes, MMEngine's seconds, and ours beyond them."""
    cfg = Config.fromfile(ROOT / pipeline.config)
    init_default_scope(cfg.default_scope)
    weights = build_model(cfg).state_dict()
    # SGD's momentum is as large as the weights.
    checkpoint = dict(
        state_dict=weights,
        optimizer={name: torch.randn_like(w.float())
                   for name, w in weights.items()})
    plain, added = [], []
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        path = Path(scratch) / 'epoch_1.pth'
        for _ in range(repetitions):
            drop(path)
            start = time.perf_counter()
            save_checkpoint(checkpoint, str(path))
            plain.append(time.perf_counter() - start)
            drop(path)
            save_checkpoint(checkpoint, str(begun(path)))
            start = time.perf_counter()
            put_in_place(path)
            added.append(time.perf_counter() - start)
        size = path.stat().st_size
    return size, summary(plain), summary(added)
