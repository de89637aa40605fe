"""What AGVM adds to the training of a real model under DDP.

All ways of training take turns on one model and the same images, iteration by
iteration, so that whatever slows the machine slows them alike.
"""
from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any, Callable, NamedTuple

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import (
    DATASETS,
    MODEL_WRAPPERS,
    MODELS,
    init_default_scope,
)
from mmengine.utils import import_modules_from_strings
from torch import nn
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from agvm_mm import AGVMOptimWrapper
from agvm_mm.datasets import write_digits
from agvm_mm.replicas import Replicas
from agvm_mm.sample_counter import SampleCounter

from .counting import count_messages, peak_memory
from .official import OfficialOptimWrapper
from .stopwatch import Stopwatch, clock, summary

ROOT = Path(__file__).parents[2] / 'configs'
# Model, data, the images of one rank, (width, height) and how many, and how
# often to repeat what takes a minute or more.
PIPELINES = {
    'faster-rcnn_r50_fpn':
    ('faster_rcnn/faster-rcnn_r50_fpn_agvm-sgd_16e_bs256_coco.py',
     'digits/faster-rcnn_r18_fpn_agvm_digits.py', (1333, 800), 1, 3),
    'upernet_r50': ('upernet/upernet_r50_agvm-sgd_10k_bs512_ade20k-512x512.py',
                    'digits/upernet_r18_agvm_digits.py', (512, 512), 2, 2),
}
INTERVALS = (1, 5, 10)
# Ways of training; those of AGVM with its options.
PLAIN, UNMEASURED = 'plain', 'unmeasured'
MEASURED = ('replica', 'half_batch', 'official')
AGVM = {
    UNMEASURED: dict(interval=10**9),  # after its very first update
    'replica': dict(interval=1),
    'half_batch': dict(interval=1, estimator='half_batch'),
}


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


def measure(pipeline: str, *, ranks: int, repetitions: int | None,
            image_scale: float, logging: float) -> dict:
    """Measure one pipeline on new processes.

    Args:
        pipeline (str): One of ``PIPELINES``.
        ranks (int): Processes of the timed runs; messages and memory are
            counted on 4, so that a half of the ranks has messages.
        repetitions (int, optional): Timed iterations of each way; None for
            the pipeline's own number.
        image_scale (float): Of the images' width and height.
        logging (float): Seconds that AGVM's log lines take per iteration.

    Returns:
        dict: What benchmark.py writes under the pipeline's name.
    """
    _, _, (width, height), images, default = PIPELINES[pipeline]
    repetitions = repetitions or default
    with tempfile.TemporaryDirectory() as folder:
        data_root = write_digits(
            Path(folder) / 'digits', num_train=32, num_val=1)
        results = _launch(ranks, _timed, pipeline, str(data_root), repetitions,
                          image_scale)
        counted = _launch(4, _counted, pipeline, str(data_root))[0]
    measured = _merge(results, logging)
    return dict(
        ranks=ranks,
        image_size=[round(width * image_scale),
                    round(height * image_scale)],
        images_per_rank=images,
        repetitions=repetitions,
        **measured,
        counted=counted)


def _launch(ranks: int, function: Callable, *args: Any) -> list[Any]:
    """Call a function on new ranks; return what each returns."""
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=ranks,
        rdzv_backend='c10d',
        rdzv_endpoint='localhost:0',
        max_restarts=0)
    with tempfile.TemporaryDirectory() as folder:
        # Their warnings are not for the reader; an error comes back.
        config.logs_specs = DefaultLogsSpecs(folder, redirects=Std.ALL)
        results = elastic_launch(config, function)(*args)
    return [results[rank] for rank in range(ranks)]


def _set_up(pipeline: str, data_root: str, image_scale: float,
            names: list[str]) -> tuple[nn.Module, dict, list]:
    """The model under DDP, an optimizer wrapper for each way, and data."""
    import_modules_from_strings(['agvm_mm.cpu'])
    if not dist.is_initialized():
        torch.cuda.set_device(dist.get_node_local_rank())
        dist.init_process_group('nccl')
    rank, ranks = dist.get_rank(), dist.get_world_size()
    torch.set_num_threads(max(1, torch.get_num_threads() // ranks))
    torch.manual_seed(0)
    config, digits, size, images, _ = PIPELINES[pipeline]
    cfg = Config.fromfile(ROOT / config)
    init_default_scope(cfg.default_scope)
    # Random weights take as long as pre-trained ones.
    cfg.model.backbone.pop('init_cfg', None)
    cfg.model.pop('pretrained', None)
    size = tuple(round(side * image_scale) for side in size)
    if 'size' in cfg.model.data_preprocessor:
        cfg.model.data_preprocessor.size = size[::-1]
    MMLogger.get_instance('benchmark', log_level='WARNING')
    model = MODELS.build(cfg.model)
    model.init_weights()
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    # As the ladder's configs have it: nobody sends batch norm's statistics.
    model = MODEL_WRAPPERS.build(
        dict(
            type='CPUDistributedDataParallel',
            module=model.to(device).train(),
            broadcast_buffers=False))
    wrappers = {}
    for name in names:
        wrappers[name] = _wrapper(cfg, model, name)
        wrappers[name].initialize_count_status(model, 0, 10**9)

    dataset = Config.fromfile(ROOT / digits).train_dataloader.dataset
    dataset.data_root = data_root
    for step in dataset.pipeline:
        if step.type == 'Resize':
            step.update(scale=size, keep_ratio=False)
    dataset = DATASETS.build(dataset)
    batches = []
    for i in range(rank * images, len(dataset), ranks * images):
        packed = [dataset[j % len(dataset)] for j in range(i, i + images)]
        batches.append(
            {key: [one[key] for one in packed]
             for key in packed[0]})
    return model, wrappers, batches


def _wrapper(cfg: Config, model: nn.Module, name: str) -> OptimWrapper:
    optimizer = dict(cfg.optim_wrapper.optimizer, lr=1e-4)
    if name == PLAIN:
        return build_optim_wrapper(
            model, dict(type='OptimWrapper', optimizer=optimizer))
    agvm = dict(begin=0, modules=cfg.optim_wrapper.agvm.get('modules'))
    wrapper = build_optim_wrapper(
        model,
        dict(
            type='AGVMOptimWrapper',
            constructor='AGVMOptimWrapperConstructor',
            optimizer=optimizer,
            agvm=dict(agvm, **AGVM.get(name, {}))))
    if name == 'official':
        return OfficialOptimWrapper(wrapper.optimizer)
    return wrapper


def _mark(watch: Stopwatch) -> None:
    """Tell the stopwatch which lines run because of AGVM."""
    watch.mark(AGVMOptimWrapper, ['backward', 'step'], ours=True)
    watch.mark_context(AGVMOptimWrapper, 'optim_context', ours=True)
    watch.mark(Replicas, ['_hold', '_flush', '_queue_flush'], ours=True)
    watch.mark(SampleCounter, ['__call__'], ours=True)
    watch.mark(OfficialOptimWrapper, ['measure', 'compare'], ours=True)
    watch.mark(OptimWrapper, ['backward', 'step'], ours=False)
    watch.mark_context(OptimWrapper, 'optim_context', ours=False)


def _timed(pipeline: str, data_root: str, repetitions: int,
           image_scale: float) -> dict[str, list[Seconds]]:
    """The seconds of each way, by repetition."""
    names = [PLAIN, UNMEASURED, *MEASURED]
    model, wrappers, batches = _set_up(pipeline, data_root, image_scale, names)
    own, local = Stopwatch(), Stopwatch()
    _mark(own)
    _mark(local)
    local.mark(dist, ['all_reduce', 'all_gather', 'broadcast'], ours=False)
    records: dict[str, list[Seconds]] = {name: [] for name in names}
    for repetition in range(repetitions + 1):
        data = batches[repetition % len(batches)]
        for name in names:
            dist.barrier()
            before = Seconds(own.seconds, local.seconds, clock())
            model.train_step(copy.deepcopy(data), wrappers[name])
            after = Seconds(own.seconds, local.seconds, clock())
            records[name].append(
                Seconds(*(b - a for a, b in zip(before, after))))
    # The first warms up, and is where DDP makes its buckets anew.
    return {name: record[1:] for name, record in records.items()}


def _merge(results: list[dict[str, list[Seconds]]], logging: float) -> dict:
    """From every rank's seconds to medians, ratios and shares."""
    ways = {
        name: [seconds for result in results for seconds in result[name]]
        for name in results[0]
    }
    whole = {name: [s.iteration for s in way] for name, way in ways.items()}
    del ways[PLAIN]
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
        local_seconds=local,
        unmeasured_share=own[UNMEASURED]['median'] / iteration,
        share_by_interval=shares)


def _counted(pipeline: str, data_root: str) -> dict[str, Any]:
    """Messages and peak memory of one measured update, on small images.

    The gradients then outweigh the activations, so that whatever AGVM keeps
    of them shows in the peak; messages do not depend on the images.
    """
    names = [PLAIN, *MEASURED]
    model, wrappers, batches = _set_up(pipeline, data_root, 0.12, names)
    sizes = [p.numel() for p in model.parameters() if p.requires_grad]
    counted: dict[str, Any] = dict(
        ranks=dist.get_world_size(),
        num_parameters=len(sizes),
        gradient_bytes=4 * sum(sizes))
    for _ in range(2):
        for name in names:
            with count_messages() as messages, peak_memory() as peak:
                model.train_step(copy.deepcopy(batches[0]), wrappers[name])
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
