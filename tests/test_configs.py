"""Every bundled config: it builds, and AGVM finds its modules."""
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope

import agvm_mm  # noqa: F401

CONFIGS = Path(__file__).parent.parent / 'configs'
DIGITS = sorted((CONFIGS / 'digits').glob('*.py'))
AGVM = [path for path in DIGITS if '_agvm_' in path.name]

DETECTOR = ['backbone', 'neck', 'rpn_head', 'roi_head.bbox_head']
MODULES = {
    'faster-rcnn': DETECTOR,
    'mask-rcnn': [*DETECTOR, 'roi_head.mask_head'],
    'panoptic-fpn': [*DETECTOR, 'roi_head.mask_head', 'semantic_head'],
    'retinanet': ['backbone', 'neck', 'bbox_head'],
    'semantic-fpn': ['backbone', 'neck', 'decode_head'],
    'upernet': ['backbone', 'decode_head', 'fpn', 'auxiliary_head'],
}


def load(path):
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    return cfg


def test_every_pipeline_is_there():
    assert {path.name.split('_')[0] for path in AGVM} == set(MODULES)
    assert any('swin' in path.name for path in AGVM)


@pytest.mark.parametrize('path', DIGITS, ids=lambda path: path.stem)
def test_it_builds(path):
    cfg = load(path)
    assert cfg.total_batch_size == 16
    assert cfg.runner_type == 'TotalBatchRunner'
    assert dict(type='TotalBatchSizeHook') in cfg.custom_hooks
    model = MODELS.build(cfg.model)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    trained = sum(p.numel() for g in wrapper.optimizer.param_groups
                  for p in g['params'])
    assert trained == sum(p.numel() for p in model.parameters()
                          if p.requires_grad)
    if path in AGVM:
        expected = MODULES[path.name.split('_')[0]]
        assert sorted(wrapper.modulator.modules) == sorted(expected)
        assert 'paramwise_cfg' not in cfg.optim_wrapper or len(
            wrapper.optimizer.param_groups) == len(expected) + 1


@pytest.mark.parametrize('path', AGVM, ids=lambda path: path.stem)
def test_the_twin_differs_by_agvm_alone(path):
    cfg = load(path)
    names = (path.name.replace('_agvm_', f'_{o}_') for o in ('sgd', 'adamw'))
    twins = [path.with_name(n) for n in names if path.with_name(n) in DIGITS]
    assert len(twins) == 1
    twin = load(twins[0])
    options = cfg.optim_wrapper.pop('agvm')
    assert cfg.optim_wrapper.pop(
        'constructor') == 'AGVMOptimWrapperConstructor'
    cfg.optim_wrapper.type = 'OptimWrapper'
    assert cfg.to_dict() == twin.to_dict()
    # It begins 100 updates after the warm-up, as the official code does.
    assert options.begin == cfg.param_scheduler[0].end + 100
