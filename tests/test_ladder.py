"""The large-batch configs: what they are, and that they train, made small."""
import copy
import functools
import itertools
import json
import math
import re
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from partitions.models import build_on_meta
from plans.agvm import agvm_options, measured_updates

import agvm_mm  # noqa: F401
from agvm_mm.algorithm.partition import partition_parameters
from agvm_mm.datasets import write_digits
from agvm_mm.large_batch import resolve, square_root_lr
from agvm_mm.large_batch.plan import learning_rates, make_plan
from tests.stack import lars, lars_marked

CONFIGS = Path(__file__).parent.parent / 'configs'
LADDER = sorted(p for p in CONFIGS.glob('[a-z]*/*.py') if '_bs' in p.name)
AGVM = [path for path in LADDER if '_agvm-' in path.name]

# Of the paper's tables, or as the paper's where it has no such row.
COCO_UPDATES = {
    '16e': {32: 58640, 256: 7344, 512: 3680, 1024: 1840},
    '14e': {32: 51310, 256: 6426, 512: 3220, 1024: 1610},
    '12e': {32: 43980, 256: 5508, 512: 2760, 1024: 1380, 1536: 924,
            4096: 348, 10240: 144},
    '1349': {960: 1349},
}  # yapf: disable
ADE20K_UPDATES = {32: 160000, 512: 10000, 1024: 5000, 2048: 2500}

DETECTOR = ['backbone', 'neck', 'rpn_head', 'roi_head.bbox_head']
MODULES = {
    'faster-rcnn': DETECTOR,
    'mask-rcnn': [*DETECTOR, 'roi_head.mask_head'],
    'cascade-mask-rcnn': [*DETECTOR, 'roi_head.mask_head'],
    'panoptic-fpn': [*DETECTOR, 'roi_head.mask_head', 'semantic_head'],
    'retinanet': ['backbone', 'neck', 'bbox_head'],
    'semantic-fpn': ['backbone', 'neck', 'decode_head'],
    'upernet': ['backbone', 'decode_head', 'fpn', 'auxiliary_head'],
}
LARGEST = {
    'faster-rcnn_r50_fpn_agvm-sgd_16e': 1024,
    'faster-rcnn_r50_fpn_agvm-adamw_12e': 1536,
    'faster-rcnn_swin-t_fpn_agvm-adamw_12e': 512,
    'mask-rcnn_r50_fpn_agvm-sgd_14e': 1024,
    'panoptic-fpn_r50_fpn_agvm-sgd_14e': 1024,
    'retinanet_r18_fpn_agvm-adamw_12e': 10240,
    'semantic-fpn_r50_agvm-sgd_2500': 2048,
    'upernet_r50_agvm-sgd_2500': 2048,
    'upernet_swin-t_agvm-adamw_2500': 2048,
    'cascade-mask-rcnn_swin-1b_fpn_agvm-adamw_1349': 960,
}


@functools.lru_cache(None)
def read(path):
    return Config.fromfile(path)


def load(path):
    return copy.deepcopy(read(path))


def fields(path):
    """Pipeline, epochs or updates, and batch, as the file's name tells."""
    pipeline, schedule, batch = re.fullmatch(
        r'([a-z-]+)_.*_(\w+)_bs(\d+)_\w+(?:-512x512)?', path.stem).groups()
    return pipeline, schedule, int(batch)


def ids(path):
    return path.stem


def test_every_row_is_there():
    rows = {
        re.fullmatch(r'(.+)_bs(\d+)_.*', path.stem).groups()
        for path in AGVM
    }
    assert rows >= {(stem, str(batch)) for stem, batch in LARGEST.items()}
    assert max(int(batch) for _, batch in rows) == 10240
    for path in AGVM:
        optimizer = re.search('agvm-(sgd|adamw)', path.name).group(1)
        for other in (optimizer, 'lars', 'lamb'):
            twin = path.with_name(
                path.name.replace(f'agvm-{optimizer}', other))
            assert twin in LADDER, twin
    assert len(LADDER) == 113


@pytest.mark.parametrize('path', LADDER, ids=ids)
def test_plan(path):
    _, schedule, batch = fields(path)
    cfg = load(path)
    assert cfg.total_batch_size == batch
    assert cfg.runner_type in ('TotalBatchRunner', 'TotalBatchFlexibleRunner')
    assert dict(type='TotalBatchSizeHook') in cfg.custom_hooks
    # It would win over a batch_size of who inherits.
    assert 'max_samples_per_gpu' not in cfg
    on_coco = path.name.endswith('coco.py')
    updates = (COCO_UPDATES[schedule] if on_coco else ADE20K_UPDATES)[batch]
    for world_size in (1, 3, 8, 64, 768):
        if batch < world_size:
            with pytest.raises(ValueError, match='without a sample'):
                make_plan(cfg, world_size)
            continue
        plan = make_plan(cfg, world_size)
        assert plan.updates == updates
        assert plan.total_batch_size == batch
        assert plan.samples_per_gpu <= cfg.train_dataloader.batch_size
        options = agvm_options(cfg, plan)
        if options:
            assert measured_updates(plan, options) > 20
            assert options['interval'] == (5 if batch > 1024 else 10)
    # Each learning rate is where its source says, and so follows the rule.
    source = cfg.lr_source
    if 'lr' in source:
        rule = square_root_lr(source.lr, source.batch, batch)
        assert math.isclose(cfg.optim_wrapper.optimizer.lr, rule)


@pytest.mark.parametrize('path', AGVM, ids=ids)
def test_agvm_begins_after_the_warmup(path):
    cfg = load(path)
    plan = make_plan(cfg, 1)
    rates = learning_rates(cfg, plan)
    warmup = rates.index(max(rates))
    wait = 12 if cfg.total_batch_size == 10240 else 100
    assert agvm_options(cfg, plan)['begin'] == warmup + wait
    assert rates[0] == pytest.approx(max(rates) / 1000)
    if 'clip_grad_range' in cfg.optim_wrapper:
        first, last = cfg.optim_wrapper.clip_grad_range
        assert (first, last) == (warmup - 100, warmup + 100)


@pytest.mark.parametrize('path', AGVM, ids=ids)
def test_twins_differ_by_the_optimizer_alone(path):
    optimizer = re.search('agvm-(sgd|adamw)', path.name).group(1)
    ours = load(path).to_dict()
    # LARS and LAMB need whole tensors, so theirs is no FSDP.
    sharded = ('strategy', 'runner_type')
    own = ('optim_wrapper', 'optimizer_source', 'lr_source', 'agvm_source',
           'reported', 'custom_imports')
    for other in (optimizer, 'lars', 'lamb'):
        twin = load(
            path.with_name(path.name.replace(f'agvm-{optimizer}',
                                             other))).to_dict()
        for key in set(ours) | set(twin):
            if other in ('lars', 'lamb') and key in sharded:
                continue
            assert key in own or ours[key] == twin[key], key
        if other == optimizer:
            expected, theirs = ours['optim_wrapper'], twin['optim_wrapper']
            expected = {
                k: v
                for k, v in expected.items()
                if k not in ('agvm', 'constructor', 'clip_grad',
                             'clip_grad_range')
            }
            assert expected.pop('type').replace('AGVM',
                                                '') == theirs.pop('type')
            assert expected == theirs


@pytest.mark.parametrize('path', lars_marked(LADDER), ids=ids)
def test_partition_and_optimizer(path):
    cfg = load(path)
    model = build_on_meta(cfg)
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    partition = partition_parameters(model)
    assert sorted(partition) == sorted(MODULES[fields(path)[0]])
    assert sorted(itertools.chain(*partition.values())) == sorted(trained)
    if 'swin-1b' in path.name:
        assert sum(p.numel() for p in model.parameters()) > 1e9
    # MMEngine ties AMP to a GPU.
    cfg.optim_wrapper.type = cfg.optim_wrapper.type.replace('Amp', '')
    for key in ('dtype', 'use_fsdp'):
        cfg.optim_wrapper.pop(key, None)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    held = [p for group in optimizer.param_groups for p in group['params']]
    assert len(held) == len(set(held))
    assert set(trained.values()) <= set(held)


@pytest.fixture(scope='module', name='images')
def _images(tmp_path_factory):
    """Digits of 32x32, as many as an update of batch 512 takes."""
    return write_digits(
        tmp_path_factory.mktemp('ladder') / 'digits',
        num_train=512,
        num_val=1,
        size=32)


DIGITS = [str(digit) for digit in range(10)]
STUFF = ['china', 'flower']
ON_DIGITS = {
    'coco': {
        'ann_file': 'annotations/instances_train.json',
        'data_prefix.img': 'train/',
        'metainfo': dict(classes=DIGITS),
        'filter_cfg.min_size': 1,
        'pipeline.2.scale': (32, 32),
    },
    'panoptic': {
        'ann_file': 'annotations/panoptic_train.json',
        'data_prefix': dict(img='train/', seg='panoptic_train/'),
        'metainfo': dict(
            classes=DIGITS + STUFF, thing_classes=DIGITS, stuff_classes=STUFF),
        'filter_cfg.min_size': 1,
        'pipeline.2.scale': (32, 32),
    },
    'ade20k': {
        'img_suffix': '.png',
        'data_prefix': dict(
            img_path='train', seg_map_path='semantic/train'),
        'pipeline.2.scale': (64, 32),
        'pipeline.3.crop_size': (32, 32),
    },
}  # yapf: disable


def shrunken(path, images, work_dir, **more):
    """The config on Digits: three small updates, no wide layer on RoIs."""
    cfg = load(path)
    data = 'coco' if path.name.endswith('coco.py') else 'ade20k'
    data = 'panoptic' if path.name.startswith('panoptic') else data
    cfg.merge_from_dict({
        f'train_dataloader.dataset.{key}': value
        for key, value in ON_DIGITS[data].items()
    })
    settings = {
        'work_dir': str(work_dir),
        'visualizer.name': path.stem,
        'train_dataloader.num_workers': 0,
        'train_dataloader.persistent_workers': False,
        'train_dataloader.dataset.data_root': f'{images}/',
        'train_dataloader.dataset.indices': 24,
        'val_cfg': None,
        'val_dataloader': None,
        'val_evaluator': None,
        'test_cfg': None,
        'test_dataloader': None,
        'test_evaluator': None,
        'model.backbone.init_cfg': None,
        'default_hooks.logger.interval': 1,
        'default_hooks.checkpoint': None,
        'optim_wrapper.agvm.begin': 0,
        'optim_wrapper.agvm.interval': 1,
        'max_samples_per_gpu': 4,
        'total_batch_size': 8,
    }
    if 'roi_head' in cfg.model:
        settings['model.roi_head.bbox_head.fc_out_channels'] = 64
    if data == 'ade20k':
        settings['model.data_preprocessor.size'] = (32, 32)
        settings['model.pretrained'] = None
    counted = 'max_iters' if 'max_iters' in cfg.train_cfg else 'max_epochs'
    settings[f'train_cfg.{counted}'] = 3 if counted == 'max_iters' else 1
    cfg.merge_from_dict({**settings, **more})
    return cfg


def rows(work_dir):
    """The JSON log of a training."""
    log, = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize(
    'path', [
        path for path in AGVM if any(
            path.name.startswith(f'{stem}_bs{batch}_')
            for stem, batch in LARGEST.items() if 'swin-1b' not in stem)
    ],
    ids=ids)
def test_the_largest_batch_trains(path, images, tmp_path):
    cfg = shrunken(path, images, tmp_path)
    Runner.from_cfg(resolve(cfg, 1)).train()
    log = rows(tmp_path)
    assert [row['step'] for row in log] == [2, 4, 6]  # of two micro-batches
    assert log[-1]['agvm/num_replicas'] == 2
    for module in MODULES[fields(path)[0]]:
        assert 0 < log[-1][f'agvm/variance/{module}'] <= 2


@pytest.mark.slow
@pytest.mark.parametrize(
    'optimizer', [pytest.param('lars', marks=lars), 'lamb', 'sgd'])
def test_the_rivals_train(optimizer, images, tmp_path):
    path = CONFIGS / ('mask_rcnn/mask-rcnn_r50_fpn_'
                      f'{optimizer}_14e_bs1024_coco.py')
    cfg = shrunken(path, images, tmp_path)
    cfg.optim_wrapper.pop('agvm')  # which shrinking adds
    Runner.from_cfg(resolve(cfg, 1)).train()
    losses = [row['loss'] for row in rows(tmp_path)]
    assert len(losses) == 3
    assert all(map(math.isfinite, losses))


@pytest.mark.slow
def test_512_images_in_one_update(images, tmp_path):
    path = CONFIGS / ('faster_rcnn/'
                      'faster-rcnn_r50_fpn_agvm-sgd_16e_bs512_coco.py')
    cfg = shrunken(
        path, images, tmp_path, **{
            'total_batch_size': 512,
            'max_samples_per_gpu': 16,
            'train_dataloader.dataset.indices': None,
            'model.backbone.depth': 18,
            'model.backbone.base_channels': 16,
            'model.neck.in_channels': [16, 32, 64, 128],
            'model.neck.out_channels': 32,
            'model.rpn_head.in_channels': 32,
            'model.rpn_head.feat_channels': 32,
            'model.roi_head.bbox_roi_extractor.out_channels': 32,
            'model.roi_head.bbox_head.in_channels': 32,
            'model.train_cfg.rcnn.sampler.num': 16,
        })
    Runner.from_cfg(resolve(cfg, 1)).train()
    row, = rows(tmp_path)
    assert row['step'] == 32
    assert row['agvm/num_replicas'] == 32
    for module in DETECTOR:
        assert 0 < row[f'agvm/variance/{module}'] <= 2
