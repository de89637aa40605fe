"""Where a config counts samples, and who deals them."""
from __future__ import annotations

import functools
import math
from typing import Any

from mmengine.config import Config, ConfigDict

from . import known
from .recovery_hooks import switched_on
from .settings import type_name


def most_samples(cfg: Config) -> int:
    """The most samples that a process takes at once, as a config states it.

    Args:
        cfg (Config): Of a run.

    Raises:
        ValueError: If its batches are of several sizes.
    """
    loader = cfg.train_dataloader
    batches = loader.get('batch_sampler')
    own = batches.get('batch_size') if isinstance(batches, dict) else None
    if (type_name(batches) == 'MultiDataAspectRatioBatchSampler'
            or isinstance(own, (list, tuple))
            or isinstance(loader.get('batch_size'), (list, tuple))):
        raise ValueError(
            'train_dataloader.batch_sampler makes batches of several sizes, '
            f'so that total_batch_size={cfg.total_batch_size} cannot be kept: '
            'leave total_batch_size out, or use AspectRatioBatchSampler')
    most = cfg.get('max_samples_per_gpu')
    if most is not None:
        return most
    return own or loader.batch_size


def deal_whole_updates(cfg: Config, samples: int, by_iteration: bool) -> None:
    """Let a sampler of ours deal the data, in whole updates.

    Args:
        cfg (Config): It is changed.
        samples (int): Of one micro-batch.
        by_iteration (bool): Whether the training loop counts iterations.

    Raises:
        ValueError: If another sampler's epochs would end inside an update, or
            a micro-batch cannot be made of what it is to hold.
    """
    loader = cfg.train_dataloader
    sampler: Any = loader.sampler
    if type_name(loader.get('batch_sampler')) == 'MicroBatchSampler':
        loader.pop('batch_sampler')  # It was resolved before.
    batches = loader.get('batch_sampler')
    if batches is not None and not isinstance(batches, dict):
        raise ValueError(
            f'train_dataloader.batch_sampler={batches!r} is built already, so '
            f'that its batch_size cannot be set to {samples}: state it as a '
            'dict')
    if known.SAMPLERS.get(type_name(sampler)) == known.OURS:
        settings = {
            k: sampler[k]
            for k in ('shuffle', 'seed', 'by_shape') if k in sampler
        }
        if type_name(batches) == 'AspectRatioBatchSampler':
            settings['by_shape'] = True
            batches = loader.batch_sampler = None
        loader.sampler = ConfigDict(
            type='TotalBatchSampler',
            total_batch_size=cfg.total_batch_size,
            samples_per_gpu=samples,
            endless=by_iteration,
            seeded=switched_on(cfg, 'randomness'),
            **settings)
    elif not by_iteration:
        raise ValueError(
            f'train_dataloader.sampler.type={sampler.type!r} cannot be dealt '
            'in whole updates; with total_batch_size use DefaultSampler')
    else:  # Of others, an update takes what comes, but no short batch.
        ending = loader if batches is None else batches
        if batches is None or type_name(batches) in known.SAMPLERS:
            ending.setdefault('drop_last', True)
        if 'batch_size' in sampler:
            if sampler.get('source_ratio'):
                # Or another size could be rounded to other parts.
                sampler['source_ratio'] = sources_of(sampler)
            sampler['batch_size'] = samples
    if batches is not None and 'batch_size' in batches:
        batches['batch_size'] = samples
    loader.batch_size = samples


def even_dealer(cfg: Config) -> str | None:
    """What in a config deals micro-batches of one size alone.

    Args:
        cfg (Config): Of a run.

    Returns:
        str or None: The setting; None where ``TotalBatchSampler`` will deal.
    """
    loader = cfg.train_dataloader
    batches = type_name(loader.get('batch_sampler'))
    if batches not in ('', 'AspectRatioBatchSampler', 'MicroBatchSampler'):
        return f'train_dataloader.batch_sampler.type={batches!r}'
    sampler = type_name(loader.sampler)
    if known.SAMPLERS.get(sampler) != known.OURS:
        return f'train_dataloader.sampler.type={sampler!r}'
    return None


def batch_unit(cfg: Config) -> int:
    """What the samples of a micro-batch must be a multiple of.

    mmdet's ``MultiSourceSampler`` and its ``GroupMultiSourceSampler`` fill
    each batch from several sources, by a ``batch_size`` and a
    ``source_ratio`` of their own. A micro-batch is to have the same parts.

    Args:
        cfg (Config): Of a run.

    Returns:
        int: 1 for other samplers.

    Raises:
        ValueError: If the stated batch has no sample of some source.
    """
    sampler = cfg.train_dataloader.sampler
    several = 'source_ratio' in sampler and 'batch_size' in sampler
    return sum(sources_of(sampler)) if several else 1


def sources_of(sampler: dict) -> list[int]:
    """The samples of each source in the smallest batch with the same parts.

    Args:
        sampler (dict): Settings with ``batch_size`` and ``source_ratio``.

    Returns:
        list[int]: One per source.

    Raises:
        ValueError: If the stated batch has no sample of some source.
    """
    ratio, size = sampler['source_ratio'], sampler['batch_size']
    # As these samplers round it.
    counts = [int(size * part / sum(ratio)) for part in ratio]
    counts[0] = size - sum(counts[1:])
    if min(counts) < 1:
        raise ValueError(
            f'train_dataloader.sampler.batch_size={size} with source_ratio='
            f'{list(ratio)} has {counts} samples of the sources, and needs '
            'one of each at least: set it to a multiple of '
            f'{math.ceil(sum(ratio) / min(ratio))}')
    parts = functools.reduce(math.gcd, counts)
    return [count // parts for count in counts]
