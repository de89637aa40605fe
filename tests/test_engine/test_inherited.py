"""What stays of a config below, where a config replaces a part of it."""
import inspect
import re

import pytest
from mmengine.config import Config
from mmengine.optim import DefaultOptimWrapperConstructor, build_optim_wrapper
from mmengine.registry import init_default_scope

from agvm_mm.engine.inherited import PARAMWISE_KEYS
from tests.toy import ToyDetector, build_wrapper

AGVM = dict(
    type='AGVMOptimWrapper',
    constructor='AGVMOptimWrapperConstructor',
    agvm=dict(begin=0))
SWIN = 'mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py'
BEIT = 'mmseg::beit/beit-base_upernet_8xb2-160k_ade20k-640x640.py'
PSPNET = 'mmseg::pspnet/pspnet_r101-d8_4xb2-amp-80k_cityscapes-512x1024.py'
SGD = dict(type='SGD', lr=0.1, momentum=0.9)


def merged(tmp_path, base, **changes):
    config = tmp_path / 'config.py'
    config.write_text(f'_base_ = {base!r}\n'
                      f'optim_wrapper = dict(**{dict(AGVM, **changes)!r})\n')
    init_default_scope('mmengine')
    return Config.fromfile(config).optim_wrapper


@pytest.mark.parametrize(('base', 'changes', 'message'), [
    pytest.param(
        SWIN,
        dict(optimizer=SGD),
        'optim_wrapper.optimizer.betas is unknown to SGD',
        id='mmdet'),
    pytest.param(
        SWIN,
        dict(optimizer=dict(SGD, _delete_=True)),
        'optim_wrapper.optimizer.weight_decay is not set',
        id='mmdet-decay'),
    pytest.param(
        BEIT, {}, 'optim_wrapper.paramwise_cfg.num_layers is unknown to '
        'DefaultOptimWrapperConstructor',
        id='mmseg-constructor'),
    pytest.param(
        PSPNET, {}, 'optim_wrapper.loss_scale is unknown to AGVMOptimWrapper: '
        'it is of mixed precision',
        id='mmseg-amp'),
])
def test_what_is_left_of_a_config_below_is_refused(base, changes, message,
                                                   tmp_path):
    with pytest.raises(ValueError, match=re.escape(message)):
        build_optim_wrapper(ToyDetector(), merged(tmp_path, base, **changes))


@pytest.mark.parametrize(('base', 'changes'), [
    (SWIN, {}),
    (SWIN, dict(optimizer=dict(lr=3e-4))),
    (SWIN, dict(optimizer=dict(SGD, weight_decay=1e-4, _delete_=True))),
    (SWIN,
     dict(
         optimizer=dict(SGD, _delete_=True),
         paramwise_cfg=dict(_delete_=True))),
])
def test_the_mends_that_the_messages_name(base, changes, tmp_path):
    cfg = merged(tmp_path, base, **changes)
    wrapper = build_optim_wrapper(ToyDetector(), cfg)
    kind = changes.get('optimizer', {}).get('type', 'AdamW')
    assert type(wrapper.optimizer).__name__ == kind


def test_a_key_that_is_spelt_wrong():
    cfg = dict(AGVM, optimizer=SGD, paramwise_cfg=dict(norm_decay_mul=0.0))
    with pytest.raises(ValueError, match=r'mean norm_decay_mult\?'):
        build_optim_wrapper(ToyDetector(), cfg)


def test_a_mark_without_effect_is_no_setting():
    cfg = dict(AGVM, optimizer=SGD, paramwise_cfg=dict(_delete=True))
    build_optim_wrapper(ToyDetector(), cfg)


def test_the_keys_are_those_of_mmengine():
    source = inspect.getsource(DefaultOptimWrapperConstructor.add_params)
    read = re.findall(r"paramwise_cfg\.get\(\s*'(\w+)'", source)
    assert sorted(read) == sorted(PARAMWISE_KEYS)


def test_flat_decay_mult_needs_no_weight_decay():
    """MMEngine takes no notice of it then."""
    build_wrapper(
        ToyDetector(),
        dict(type='Adam', lr=1e-3),
        paramwise_cfg=dict(flat_decay_mult=0.0))
