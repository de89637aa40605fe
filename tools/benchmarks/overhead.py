"""What AGVM adds to the training of a real model under DDP.

All ways of training take turns on one model and the same images, iteration by
iteration, so that whatever slows the machine slows them alike.
"""
from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from mmengine.optim import OptimWrapper

from agvm_mm import AGVMOptimWrapper
from agvm_mm.datasets import write_digits
from agvm_mm.measuring.backward_watch import BackwardWatch
from agvm_mm.measuring.sample_counter import SampleCounter

from .counting import count_messages, peak_memory
from .official import OfficialOptimWrapper
from .ranks import launch
from .stopwatch import Stopwatch, clock, summary
from .training import (
    MEASURED,
    PLAIN,
    UNMEASURED,
    Pipeline,
    backend,
    batches,
    scaled,
    set_up,
)

SMALL = 0.12  # scale of images where their number of pixels does not matter
INTERVALS = (1, 5, 10)
READ = 'one read of the gradient'  # the norms of all its tensors


class Seconds(NamedTuple):
    """Of one iteration on one rank.

    Attributes:
        own (float): In lines that run because of AGVM.
        local (float): The same without what they spend on messages.
        iteration (float): In all.
    """
    own: float
    local: float
    iteration: float


def measure(pipeline: Pipeline, *, ranks: int, repetitions: int | None,
            image_scale: float, logging: float) -> dict:
    """Measure one pipeline on new processes.

    Args:
        pipeline (Pipeline): The training.
        ranks (int): Processes of the timed runs; messages and memory are
            counted on 4, so that a half of the ranks has messages.
        repetitions (int, optional): Timed iterations of each way; None for
            the pipeline's own number.
        image_scale (float): Of the images' width and height.
        logging (float): Seconds that AGVM's log lines take per iteration.

    Returns:
        dict: What benchmark.py writes for the pipeline.
    """
    repetitions = repetitions or pipeline.repetitions
    with tempfile.TemporaryDirectory() as folder:
        data_root = write_digits(
            Path(folder) / 'digits', num_train=32, num_val=1)
        results = launch(ranks, _timed, pipeline, str(data_root), repetitions,
                          image_scale)
        counted = launch(4, _counted, pipeline, str(data_root))[0]
    measured = _merge(results, logging)
    return dict(
        ranks=ranks,
        backend=backend(ranks),
        image_size=scaled(pipeline.size, image_scale),
        images_per_rank=pipeline.images,
        repetitions=repetitions,
        **measured,
        counted=counted)


def _mark(watch: Stopwatch) -> None:
    """Tell the stopwatch which lines run because of AGVM."""
    methods = ['update_params', 'backward', 'step', 'zero_grad']
    watch.mark(AGVMOptimWrapper, methods, ours=True)
    watch.mark_context(AGVMOptimWrapper, 'optim_context', ours=True)
    watch.mark(BackwardWatch, ['_hold', '_flush', '_queue_flush'], ours=True)
    watch.mark(SampleCounter, ['__call__'], ours=True)
    watch.mark(OfficialOptimWrapper, ['measure', 'compare'], ours=True)
    watch.mark(OptimWrapper, methods, ours=False)
    watch.mark_context(OptimWrapper, 'optim_context', ours=False)


def _timed(pipeline: Pipeline, data_root: str, repetitions: int,
           image_scale: float) -> dict[str, list[Seconds]]:
    """The seconds of each way, by repetition."""
    names = [PLAIN, UNMEASURED, *MEASURED]
    model, wrappers = set_up(pipeline, names)
    own, local = Stopwatch(), Stopwatch()
    _mark(own)
    _mark(local)
    local.mark(dist, ['all_reduce', 'all_gather', 'broadcast'], ours=False)
    # Once around on small images: DDP makes its buckets anew after the first
    # iteration, and one of the ways measures its first alone.
    small = batches(pipeline, data_root, SMALL * image_scale)[0]
    for wrapper in wrappers.values():
        model.train_step(copy.deepcopy(small), wrapper)
    rounds = batches(pipeline, data_root, image_scale)
    gradient = [
        torch.randn_like(p) for p in model.parameters() if p.requires_grad
    ]
    records: dict[str, list[Seconds]] = {name: [] for name in [*names, READ]}
    for repetition in range(repetitions):
        data = rounds[repetition % len(rounds)]
        for name in names:
            dist.barrier()
            before = Seconds(own.seconds, local.seconds, clock())
            model.train_step(copy.deepcopy(data), wrappers[name])
            after = Seconds(own.seconds, local.seconds, clock())
            records[name].append(
                Seconds(*(b - a for a, b in zip(before, after))))
        begin = clock()
        torch.stack(torch._foreach_norm(gradient))
        records[READ].append(Seconds(*[clock() - begin] * 3))
    return records


def _merge(results: list[dict[str, list[Seconds]]], logging: float) -> dict:
    """From every rank's seconds to medians, ratios and shares."""
    ways = {
        name: [seconds for result in results for seconds in result[name]]
        for name in results[0]
    }
    whole = {name: [s.iteration for s in way] for name, way in ways.items()}
    del ways[PLAIN]
    read = summary([seconds.own for seconds in ways.pop(READ)])
    del whole[READ]
    own = {name: summary([s.own for s in way]) for name, way in ways.items()}
    local = {
        name: summary([s.local for s in way])
        for name, way in ways.items()
    }
    iteration = summary(whole[PLAIN])['median']
    shares = {}
    for name in MEASURED:
        # The official code does nothing where nothing is measured.
        rest = 0.0 if name == 'official' else own[UNMEASURED]['median']
        shares[name] = {
            str(k):
            ((own[name]['median'] + (k - 1) * rest) / k + logging) / iteration
            for k in INTERVALS
        }
    return dict(
        iteration_seconds={
            n: summary(v)
            for n, v in whole.items()
        },
        iteration_ratio={
            name: summary([a / b for a, b in zip(values, whole[PLAIN])])
            for name, values in whole.items()
        },
        own_seconds=own,
        read_seconds=read,
        own_in_reads={
            name: own[name]['median'] / read['median']
            for name in MEASURED
        },
        local_seconds=local,
        unmeasured_share=own[UNMEASURED]['median'] / iteration,
        share_by_interval=shares)


def _counted(pipeline: Pipeline, data_root: str) -> dict[str, Any]:
    """Messages and peak memory of one measured update, on small images.

    The gradients then outweigh the activations, so that whatever AGVM keeps
    of them shows in the peak; messages do not depend on the images.
    """
    names = [PLAIN, *MEASURED]
    model, wrappers = set_up(pipeline, names)
    data = batches(pipeline, data_root, max(SMALL, 64 / pipeline.size[1]))[0]
    sizes = [p.numel() for p in model.parameters() if p.requires_grad]
    counted: dict[str, Any] = dict(
        ranks=dist.get_world_size(),
        num_parameters=len(sizes),
        gradient_bytes=4 * sum(sizes))
    for _ in range(2):
        for name in names:
            with count_messages() as messages, peak_memory() as peak:
                model.train_step(copy.deepcopy(data), wrappers[name])
            counted[name] = dict(
                messages=len(messages),
                message_bytes=sum(messages),
                peak_bytes=peak[0])
    # Its one all-reduce for each parameter is DDP's work, done its own way.
    counted['official']['messages'] -= len(sizes)
    counted['official']['message_bytes'] -= 4 * sum(sizes)
    for name in MEASURED:
        counted[name]['extra_peak_bytes'] = (
            counted[name]['peak_bytes'] - counted[PLAIN]['peak_bytes'])
    return counted
