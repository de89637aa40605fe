"""What dealing a batch unevenly does to the gradient of real models.

docs/accumulation.md has the figures, and the command that prints them.
"""
import random

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, MODELS, init_default_scope
from torch import nn

from agvm_mm.cpu import CPUDistributedDataParallel
from agvm_mm.large_batch.micro_batches import loss_weights, micro_batch_sizes
from tests.commands import FASTER, RETINANET, SEMANTIC
from tests.distributed import run_ranks

pytestmark = pytest.mark.faults
IMAGES = 16
# Heads of mmdet that take their normaliser over all processes.
HEAD = dict(
    _delete_=True,
    num_classes=10,
    in_channels=64,
    feat_channels=64,
    stacked_convs=2,
    norm_cfg=dict(type='GN', num_groups=8, requires_grad=True),
    loss_cls=dict(type='FocalLoss', use_sigmoid=True))
STRIDES = [4, 8, 16, 32, 64]
FCOS = dict(
    type='FCOS',
    bbox_head=dict(
        HEAD,
        type='FCOSHead',
        strides=STRIDES,
        regress_ranges=((-1, 32), (32, 64), (64, 128), (128, 256), (256, 1e8)),
        loss_bbox=dict(type='IoULoss')))
ATSS = dict(
    type='ATSS',
    bbox_head=dict(
        HEAD,
        type='ATSSHead',
        anchor_generator=dict(
            type='AnchorGenerator',
            ratios=[1.0],
            octave_base_scale=8,
            scales_per_octave=1,
            strides=STRIDES),
        loss_bbox=dict(type='GIoULoss')),
    train_cfg=dict(
        _delete_=True,
        assigner=dict(type='ATSSAssigner', topk=9),
        allowed_border=-1,
        pos_weight=-1))
OVER_ALL_PROCESSES = ('FCOS', 'ATSS')
PIPELINES = {
    'Faster R-CNN': (FASTER, {}),
    'Faster R-CNN, without sampling': (FASTER, {
        'model.train_cfg.rpn.sampler.num': 10**6,
        'model.train_cfg.rcnn.sampler.num': 10**6,
        'model.train_cfg.rpn.sampler.pos_fraction': 1.0,
        'model.train_cfg.rcnn.sampler.pos_fraction': 1.0}),
    'RetinaNet': (RETINANET, {}),
    'FCOS': (RETINANET, dict(model=FCOS)),
    'ATSS': (RETINANET, dict(model=ATSS)),
    'Semantic FPN': (SEMANTIC, {}),
    'Semantic FPN, without class weights': (SEMANTIC, {
        'model.decode_head.loss_decode.class_weight': None}),
}


def gradients(rank, world_size, data_root):
    """Each pipeline's gradient of the same 16 images, by one update."""
    return {
        name: gradient(rank, world_size, data_root, *pipeline)
        for name, pipeline in PIPELINES.items()
    }


def gradient(rank, world_size, data_root, path, options):
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(options)
    cfg.train_dataloader.dataset.data_root = data_root
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()  # whose statistics are a micro-batch's own
        if isinstance(module, nn.Dropout2d):
            module.eval()
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    sizes = micro_batch_sizes(IMAGES, world_size, IMAGES)
    first = sum(sizes[:rank])
    images = []
    for index in range(first, first + sizes[rank]):
        random.seed(index)
        np.random.seed(index)
        images.append(dataset[index])
    batch = model.data_preprocessor(pseudo_collate(images), True)
    wrapped = CPUDistributedDataParallel(model) if world_size > 1 else model
    torch.manual_seed(1)
    loss, _ = model.parse_losses(wrapped(**batch, mode='loss'))
    (loss * loss_weights(sizes)[rank]).backward()
    return torch.cat([
        p.grad.flatten().double() for p in model.parameters()
        if p.grad is not None
    ])


@pytest.mark.slow
def test_how_far_off_each_dealing_is(digits, capsys):
    whole = gradients(0, 1, digits)
    dealt = {n: run_ranks(gradients, n, n, digits)[0] for n in (2, 3, 4)}
    with capsys.disabled():
        print()
        for name, expected in whole.items():
            off = {
                n: ((found[name] - expected).norm() / expected.norm()).item()
                for n, found in dealt.items()
            }
            print(f'| {name} |', ' | '.join(f'{off[n]:.1e}'
                                            for n in (2, 4, 3)), '|')
            if name in OVER_ALL_PROCESSES:
                # Exact, and off by no more than the weights are from 1.
                weights = loss_weights(micro_batch_sizes(IMAGES, 3, IMAGES))
                assert max(off[2], off[4]) < 1e-5, name
                assert off[3] < max(weights) - 1, name
            else:
                # Even dealings differ by as much, or all to rounding.
                assert off[3] < max(2 * max(off[2], off[4]), 1e-5), name
