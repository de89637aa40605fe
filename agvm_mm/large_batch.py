"""Keeps the total batch of a config on however many processes there are.

A config states ``total_batch_size``, the samples of one parameter update, and
writes its schedule in updates. :func:`resolve` turns that into what MMEngine
runs: a batch per process and a number of micro-batches, and iterations.
"""
from __future__ import annotations

import copy
import math
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.registry import HOOKS
from mmengine.runner import Runner

# Settings that count iterations: hooks by their type's name, with MMEngine's
# own default where leaving one out means a number.
HOOK_COUNTS = {
    'LoggerHook': dict(interval=10),
    'CheckpointHook': dict(interval=None, save_begin=None),
    'EMAHook': dict(interval=1, begin_iter=None),
}
LOOP_COUNTS = ('max_iters', 'val_interval', 'val_begin')


def updates_per_epoch(num_images: int, total_batch_size: int) -> int:
    """Parameter updates in one epoch; the last may fill up its batch.

    Args:
        num_images (int): Of the training set.
        total_batch_size (int): Samples of one update.
    """
    return math.ceil(num_images / total_batch_size)


def linear_lr(lr: float, batch: int, total_batch_size: int) -> float:
    """The linear rule (Goyal et al., 2017): lr proportional to the batch.

    Args:
        lr (float): Learning rate of the reference.
        batch (int): Total batch of the reference.
        total_batch_size (int): The total batch that needs a learning rate.
    """
    return lr * total_batch_size / batch


def square_root_lr(lr: float, batch: int, total_batch_size: int) -> float:
    """The square-root rule (Krizhevsky, 2014): lr^2 proportional to the batch.

    The official AGVM configs follow it, from 0.08 at 32.

    Args:
        lr (float): Learning rate of the reference.
        batch (int): Total batch of the reference.
        total_batch_size (int): The total batch that needs a learning rate.
    """
    return lr * math.sqrt(total_batch_size / batch)


def split_batch(total_batch_size: int,
                world_size: int,
                max_samples_per_gpu: int,
                min_replicas: int = 1) -> tuple[int, int]:
    """Split a total batch into as few micro-batches as fit.

    Args:
        total_batch_size (int): Samples of one parameter update.
        world_size (int): Processes.
        max_samples_per_gpu (int): Samples that a process can take at once.
        min_replicas (int): Micro-batches that the processes together need;
            AGVM's measurement takes 2. Defaults to 1.

    Returns:
        tuple[int, int]: Samples of one micro-batch, and micro-batches of one
        update on each process. The product of the two and ``world_size`` is
        ``total_batch_size``.

    Raises:
        ValueError: If no such split exists. It lists the nearest totals and
            numbers of processes that do.
    """
    for name, value in (('total_batch_size', total_batch_size),
                        ('world_size', world_size), ('max_samples_per_gpu',
                                                     max_samples_per_gpu)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f'{name}={value!r} must be an int >= 1')
    share, rest = divmod(total_batch_size, world_size)
    if rest:
        near = [n * world_size for n in (share, share + 1) if n]
        sizes = [
            n for n in range(1, total_batch_size + 1)
            if total_batch_size % n == 0
        ]
        below = max(n for n in sizes if n < world_size)
        above = min((n for n in sizes if n > world_size), default=None)
        raise ValueError(
            f'total_batch_size={total_batch_size} does not split evenly over '
            f'{world_size} processes. The nearest possible total_batch_size '
            f'is {" or ".join(map(str, near))}; or train on '
            f'{" or ".join(str(n) for n in (below, above) if n)} processes')
    if total_batch_size < min_replicas:
        raise ValueError(
            f'total_batch_size={total_batch_size} leaves AGVM a single '
            f'gradient to compare; the nearest possible is {min_replicas}')
    limit = min(max_samples_per_gpu, total_batch_size // min_replicas)
    samples = max(n for n in range(1, min(limit, share) + 1) if share % n == 0)
    return samples, share // samples


def resolve(cfg: Config, world_size: int) -> Config:
    """Make a config run its ``total_batch_size`` on ``world_size`` processes.

    Sets the batch per process and ``accumulative_counts``, multiplies what
    counts iterations by the latter (iteration-based loops; the intervals of
    logs, checkpoints, validation and EMA), lets schedulers that count
    iterations step once an update, and deals the data in whole updates. So
    the count of updates, their learning rates and their samples do not depend
    on ``world_size``. AGVM's ``begin``, ``end`` and ``interval`` count updates
    already. A config that :func:`resolve` returned, or that a run dumped, can
    be resolved again for another ``world_size``.

    Args:
        cfg (Config): States ``total_batch_size``, and ``max_samples_per_gpu``
            if ``train_dataloader.batch_size`` is not the most that fits. It is
            not changed.
        world_size (int): Processes of the run.

    Returns:
        Config: For ``Runner.from_cfg``.

    Raises:
        ValueError: If the total batch cannot be run, or a setting cannot be
            expressed in updates. The message names what can.
    """
    if cfg.get('total_batch_size') is None:
        raise ValueError('total_batch_size is not set: add the samples of one '
                         'parameter update to the top level of the config')
    cfg = copy.deepcopy(cfg)
    loader = cfg.train_dataloader
    by_iteration = 'max_iters' in cfg.train_cfg
    samples, accumulation = split_batch(
        cfg.total_batch_size, world_size,
        cfg.get('max_samples_per_gpu', loader.batch_size),
        2 if 'agvm' in cfg.optim_wrapper else 1)
    earlier = cfg.optim_wrapper.get('accumulative_counts', 1)
    _deal_whole_updates(cfg, samples, by_iteration)
    _step_schedulers_by_update(cfg, earlier, by_iteration)
    loader.batch_size = samples
    cfg.optim_wrapper.accumulative_counts = accumulation
    _rescale(cfg, accumulation, earlier, by_iteration)
    return cfg


def _type_name(settings: dict | None) -> str:
    """The bare name of a ``type`` that may be a name, a path or a class."""
    kind = (settings or {}).get('type', '')
    name = kind if isinstance(kind, str) else kind.__name__
    return name.rpartition('.')[2]


def _deal_whole_updates(cfg: Config, samples: int, by_iteration: bool) -> None:
    sampler = cfg.train_dataloader.sampler
    known = ('DefaultSampler', 'InfiniteSampler', 'TotalBatchSampler')
    if _type_name(sampler) not in known:
        if by_iteration:  # Each update takes what comes next, of any sampler.
            return
        raise ValueError(
            f'train_dataloader.sampler.type={sampler.type!r} cannot be dealt '
            'in whole updates; with total_batch_size use DefaultSampler')
    settings = {k: sampler[k] for k in ('shuffle', 'seed') if k in sampler}
    cfg.train_dataloader.sampler = ConfigDict(
        type='TotalBatchSampler',
        total_batch_size=cfg.total_batch_size,
        samples_per_gpu=samples,
        endless=by_iteration,
        **settings)


def _step_schedulers_by_update(cfg: Config, earlier: int,
                               by_iteration: bool) -> None:
    hooks = cfg.setdefault('default_hooks', ConfigDict())
    resolved = _type_name(
        hooks.get('param_scheduler')) == 'UpdateParamSchedulerHook'
    if earlier != 1 and not resolved:
        raise ValueError(
            f'optim_wrapper.accumulative_counts={earlier} beside '
            f'total_batch_size={cfg.total_batch_size}: leave it out, because '
            'it follows from the number of processes, and write the schedule '
            'in updates')
    hooks.param_scheduler = ConfigDict(type='UpdateParamSchedulerHook')
    schedulers = cfg.get('param_scheduler') or []
    for index, scheduler in enumerate(
            schedulers if isinstance(schedulers, list) else [schedulers]):
        by_update = not scheduler.get('by_epoch', True)
        if by_update and scheduler.get('end') is None and by_iteration:
            # MMEngine's default is max_iters, which is about to be rescaled.
            scheduler.end = cfg.train_cfg.max_iters // earlier
        elif by_update and scheduler.get('end') is None:
            raise ValueError(
                f'param_scheduler[{index}].end is not set, and would count '
                'iterations: set it to the number of updates')
        elif scheduler.get('convert_to_iter_based'):
            raise ValueError(
                f'param_scheduler[{index}].convert_to_iter_based counts '
                'iterations: give its begin and end in updates, with '
                'by_epoch=False')


def _rescale(cfg: Config, accumulation: int, earlier: int,
             by_iteration: bool) -> None:
    """Turn counts of ``earlier`` iterations an update into this run's."""
    if accumulation == earlier:
        return

    def rescale(settings: dict, key: str, default: int | None = None) -> None:
        count = settings.get(key, default)
        # A negative count switches something off; others, as 'epoch', name it.
        if isinstance(count, int) and count > 0:
            settings[key] = math.ceil(count * accumulation / earlier)

    if by_iteration:
        for key in LOOP_COUNTS:
            rescale(cfg.train_cfg, key,
                    1000 if key == 'val_interval' else None)
        if cfg.train_cfg.get('dynamic_intervals'):
            cfg.train_cfg.dynamic_intervals = [[
                math.ceil(n * accumulation / earlier) for n in pair
            ] for pair in cfg.train_cfg.dynamic_intervals]
    rescale(cfg.train_dataloader, 'num_batch_per_epoch')
    rescale(cfg.setdefault('log_processor', ConfigDict()), 'window_size', 10)
    cfg.default_hooks.setdefault('logger', ConfigDict(type='LoggerHook'))
    for hook in [
            *cfg.default_hooks.values(), *(cfg.get('custom_hooks') or [])
    ]:
        name = _type_name(hook)
        if name == 'CheckpointHook' and hook.get('by_epoch', True):
            continue
        if name == 'EMAHook' and not hook.get('begin_epoch'):
            # From the first update on: its last micro-batch, not its first.
            hook.begin_iter = hook.get('begin_iter') or 1
        for key, default in HOOK_COUNTS.get(name, {}).items():
            rescale(hook, key, default)


@HOOKS.register_module()
class TotalBatchSizeHook(Hook):
    """Warns when another total batch runs than the config states.

    That happens under a launcher that does not call :func:`resolve`, such as
    mmdet's own. It compares ``total_batch_size``, at the top level of the
    config, with processes x samples x ``accumulative_counts``.
    """

    def before_train(self, runner: Runner) -> None:
        """Compare, and warn once, on the first process."""
        total = runner.cfg.get('total_batch_size')
        world_size = get_world_size()
        samples = runner.train_dataloader.batch_sampler.batch_size
        wrapper: Any = runner.optim_wrapper
        accumulation = getattr(wrapper, '_accumulative_counts', 1)
        running = world_size * samples * accumulation
        if total is None or running == total:
            return
        mend = 'launch it with the tools/train.py of agvm_mm, or set '
        try:
            samples, counts = split_batch(
                total, world_size,
                runner.cfg.get('max_samples_per_gpu', samples),
                2 if hasattr(wrapper, 'modulator') else 1)
        except ValueError as error:
            mend = str(error)
        else:
            mend += (f'train_dataloader.batch_size={samples} and '
                     f'optim_wrapper.accumulative_counts={counts}')
            if counts > 1:
                mend += (f', and multiply by {counts} whatever counts '
                         'iterations')
        MMLogger.get_current_instance().warning(
            f'The config states total_batch_size={total}, but {running} runs '
            f'({world_size} processes x '
            f'{runner.train_dataloader.batch_sampler.batch_size} samples x '
            f'{accumulation} micro-batches), so its learning rate and '
            f'schedule do not fit: {mend}.')
