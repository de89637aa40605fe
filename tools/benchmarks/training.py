"""The trainings that ``overhead`` measures: models, data, ways of training."""
from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple, Sequence

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

from .official import OfficialOptimWrapper

ROOT = Path(__file__).parents[2] / 'configs'
# Ways of training; those of AGVM with its options.
PLAIN, UNMEASURED = 'plain', 'unmeasured'
MEASURED = ('replica', 'half_batch', 'official')
AGVM = {
    UNMEASURED: dict(interval=10**9),  # after its very first update
    'replica': dict(interval=1),
    'half_batch': dict(interval=1, estimator='half_batch'),
}


class Pipeline(NamedTuple):
    """A training to measure.

    Attributes:
        config (str): Of the model and optimizer, with AGVM.
        data (str): A Digits config with data for such a model.
        size (tuple[int, int]): Width and height of an image.
        images (int): Of one rank.
        repetitions (int): How often to repeat what may take a minute.
        updates (int): Of an epoch of the paper's.
    """
    config: str
    data: str
    size: tuple[int, int]
    images: int
    repetitions: int
    updates: int


DIGITS = 'digits/faster-rcnn_r18_fpn_agvm_digits.py'
# Image sizes are the paper's.
PIPELINES = {
    'faster-rcnn_r50_fpn':
    Pipeline('faster_rcnn/faster-rcnn_r50_fpn_agvm-sgd_16e_bs256_coco.py',
             DIGITS, (1333, 800), 1, 3, 459),
    'upernet_r50':
    Pipeline('upernet/upernet_r50_agvm-sgd_10k_bs512_ade20k-512x512.py',
             'digits/upernet_r18_agvm_digits.py', (512, 512), 2, 2, 40),
}
# For a quick look: AGVM's share is large where the model is small.
QUICK = {
    'faster-rcnn_r18_digits': Pipeline(DIGITS, DIGITS, (96, 96), 2, 3, 8),
}


def scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """An image's size at another scale, in whole pixels."""
    width, height = (round(side * scale) for side in size)
    return width, height


def backend(ranks: int) -> str:
    """What the ranks of this machine talk over.

    NCCL wants a GPU for each rank. Ranks that share one, or that have none,
    talk over gloo.

    Args:
        ranks (int): Processes.
    """
    return 'nccl' if ranks <= torch.cuda.device_count() else 'gloo'


def set_up(pipeline: Pipeline,
           names: Sequence[str]) -> tuple[nn.Module, dict[str, OptimWrapper]]:
    """Join the other ranks and build what is trained.

    Args:
        pipeline (Pipeline): The training.
        names (Sequence[str]): Ways of training.

    Returns:
        tuple[nn.Module, dict[str, OptimWrapper]]: The model under DDP, and an
        optimizer wrapper for each way.
    """
    import_modules_from_strings(['agvm_mm.cpu'])
    if not dist.is_initialized():
        ranks = int(os.environ['WORLD_SIZE'])
        gpu = int(os.environ['LOCAL_RANK']) % torch.cuda.device_count()
        torch.cuda.set_device(gpu)
        dist.init_process_group(backend(ranks))
    torch.set_num_threads(
        max(1,
            torch.get_num_threads() // dist.get_world_size()))
    torch.manual_seed(0)
    cfg = Config.fromfile(ROOT / pipeline.config)
    init_default_scope(cfg.default_scope)
    # Images are padded to their own size, not to the config's.
    cfg.model.data_preprocessor.pop('size', None)
    if cfg.default_scope == 'mmseg':
        cfg.model.data_preprocessor.size_divisor = 32
    model = build_model(cfg)
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
    return model, wrappers


def build_model(cfg: Config) -> nn.Module:
    """Build a config's model without its pre-trained weights.

    Random ones take as long.

    Args:
        cfg (Config): Its ``model`` is changed.
    """
    MMLogger.get_instance('benchmark', log_level='WARNING')
    cfg.model.backbone.pop('init_cfg', None)
    cfg.model.pop('pretrained', None)
    return MODELS.build(cfg.model)


def batches(pipeline: Pipeline, data_root: str,
            image_scale: float) -> list[dict]:
    """Read this rank's images.

    Args:
        pipeline (Pipeline): The training.
        data_root (str): Of a Digits data set.
        image_scale (float): Of the images' width and height.

    Returns:
        list[dict]: Batches, as MMEngine's ``train_step`` takes them.
    """
    rank, ranks = dist.get_rank(), dist.get_world_size()
    dataset = Config.fromfile(ROOT / pipeline.data).train_dataloader.dataset
    dataset.data_root = data_root
    for step in dataset.pipeline:
        if step.type == 'Resize':
            step.update(
                scale=scaled(pipeline.size, image_scale), keep_ratio=False)
    dataset = DATASETS.build(dataset)
    packed_batches = []
    images = pipeline.images
    for i in range(rank * images, len(dataset), ranks * images):
        packed = [dataset[j % len(dataset)] for j in range(i, i + images)]
        packed_batches.append(
            {key: [one[key] for one in packed]
             for key in packed[0]})
    return packed_batches


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
