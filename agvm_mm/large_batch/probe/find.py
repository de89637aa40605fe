"""Finds the most samples that a process takes at once, on all at once."""
from __future__ import annotations

import copy
import time
from contextlib import contextmanager
from typing import Iterator

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import (
    all_gather_object,
    all_reduce,
    infer_launcher,
    init_dist,
    is_distributed,
)
from mmengine.registry import init_default_scope

from agvm_mm.recovery.randomness import own_generators

from ..launch import world_size
from ..samples import batch_unit, even_dealer
from ..settings import finds_samples, type_name
from ..split import split_batch
from ..total_batch import fewest_replicas, fit
from .margin import LEAST_TO_TRY, free_memory, limited, margin_of
from .rehearsal import Rehearsal
from .search import largest_that_fits

# A process of another trains a part of a model, which cannot be tried alone.
STRATEGIES = ('', 'SingleDeviceStrategy', 'DDPStrategy')
SEED = 0  # or each start would look at other images, and find another number


def find_samples(cfg: Config,
                 launcher: str | None) -> tuple[Config, str | None]:
    """Find what ``max_samples_per_gpu='auto'`` stands for.

    A copy of the model and of its optimizer does two updates, each of two
    micro-batches at most, of the largest images that were found in the
    training set (by ``LargestSamples``), on all processes at once;
    micro-batches are doubled until memory is out on one of them, then
    bisected. Sizes that no micro-batch of this total batch can have are not
    tried. A margin is kept, by ``margin_of``.

    Nothing of the run is touched: there is none yet. Random generators stand
    where they stood. The process group, which the run needs, is made.

    Args:
        cfg (Config): Of a run. It is not changed.
        launcher (str, optional): See
            :func:`~agvm_mm.large_batch.launch.world_size`.

    Returns:
        tuple[Config, str or None]: The config with that number, and a line
        that says what was found and what it cost. The same config and None,
        where it states a number.

    Raises:
        ValueError: If not even the smallest micro-batch fits, if what fits
            cannot be tried, or as :func:`~agvm_mm.large_batch.resolve`.
    """
    if not finds_samples(cfg):
        return cfg, None
    processes = world_size(launcher)
    counts = possible_micro_batches(cfg, processes)
    _check(cfg)
    _join(cfg, launcher)
    device = get_device()
    if device not in ('cuda', 'cpu'):
        raise ValueError(
            "max_samples_per_gpu='auto' is for CUDA devices and CPUs, but "
            f"MMEngine trains on this machine's {device}: set a number")
    begin = time.monotonic()
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    rehearsal = Rehearsal(cfg, processes, device)

    def fits(samples: int) -> bool:
        verdict = torch.tensor(
            int(rehearsal.fits(samples, counts[samples])))
        all_reduce(verdict, 'min')
        return bool(verdict)

    all_gather_object(None)  # Connections take memory too.
    free = free_memory(device)
    kept = margin_of(device, free)
    least = min(all_gather_object(free))
    if least - margin_of(device, least) < LEAST_TO_TRY:
        raise ValueError(
            "max_samples_per_gpu='auto': a process can take no more than "
            f'{_mib(least)} MiB, of which '
            f'{_mib(margin_of(device, least))} are kept for what '
            'comes beside the batch: give it more (ulimit -v), or set a '
            'number')
    with own_generators(SEED), _cudnn_as(cfg), limited(device, free, kept):
        found = largest_that_fits(fits, sorted(counts))
    if found.fits is None:
        reason = next(filter(None, all_gather_object(rehearsal.refusal)))
        raise ValueError(
            "max_samples_per_gpu='auto': a process has no memory for "
            f'samples_per_gpu={found.too_large} {rehearsal.size} ({reason}): '
            'make the images of train_dataloader.dataset.pipeline smaller, '
            'train in mixed precision (--amp), or keep fewer activations '
            '(with_cp=True in model.backbone)')
    cfg = copy.deepcopy(cfg)
    cfg.max_samples_per_gpu = found.fits
    rest = (f'{found.too_large} does not' if found.too_large else
            'this total batch asks for no more')
    return cfg, (
        f"max_samples_per_gpu='auto': samples_per_gpu={found.fits} "
        f'{rehearsal.size} fits on every process, with '
        f'{_mib(kept)} MiB of memory to spare, {rest}; found by '
        f'{found.tries} tries in {time.monotonic() - begin:.0f} seconds')


def possible_micro_batches(cfg: Config, processes: int) -> dict[int, int]:
    """The sizes that the largest micro-batch of a total batch can have.

    Args:
        cfg (Config): Of a run.
        processes (int): Of the run.

    Returns:
        dict[int, int]: To each size, the micro-batches of an update on each
        process.

    Raises:
        ValueError: As :func:`~agvm_mm.large_batch.resolve`.
    """
    cfg = copy.deepcopy(cfg)
    cfg.max_samples_per_gpu = total = cfg.get('total_batch_size')
    fit(cfg, processes)  # whatever else it refuses
    found: dict[int, int] = {}
    most = total
    while most > 0:
        try:
            samples, counts = split_batch(total, processes, most,
                                          fewest_replicas(cfg), 1,
                                          even_dealer(cfg))
        except ValueError:
            break  # No smaller one is possible.
        found[samples] = counts
        most = samples - 1
    return found


def _check(cfg: Config) -> None:
    """Refuse what cannot be tried by each process alone."""
    strategy = type_name(cfg.get('strategy'))
    if strategy not in STRATEGIES:
        raise ValueError(
            f"max_samples_per_gpu='auto' under strategy.type={strategy!r}, "
            'which shares a model between processes, so that none can try '
            'alone what fits: set a number')
    if batch_unit(cfg) > 1:
        raise ValueError(
            "max_samples_per_gpu='auto' beside train_dataloader.sampler."
            f'type={cfg.train_dataloader.sampler.type!r}, whose batches are '
            'made of several sources: set a number')


def _join(cfg: Config, launcher: str | None) -> None:
    """Make the process group as the runner would, which then finds it."""
    if launcher is None:
        launcher = infer_launcher()
    if launcher != 'none' and not is_distributed():
        init_dist(launcher, **(cfg.get('env_cfg') or {}).get('dist_cfg') or {})


@contextmanager
def _cudnn_as(cfg: Config) -> Iterator[None]:
    """Within, cuDNN looks for its fastest, so its largest, way or not."""
    before = torch.backends.cudnn.benchmark
    settings = cfg.get('env_cfg') or {}
    if settings.get('cudnn_benchmark'):
        torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def _mib(size: int) -> str:
    return f'{size / 2**20:,.0f}'
