"""The end of the warm-up, of the schedules that users have."""
import time

import pytest
from mmengine.config import Config
from mmengine.optim import LinearLR
from mmengine.utils import is_installed

from agvm_mm.large_batch import auto_begin, resolve, warm_up_updates

WARM_UP = dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=500)
needs_mmseg = pytest.mark.skipif(
    not is_installed('mmsegmentation'),
    reason='MMEngine does not find mmseg:: configs')


def updates(*schedulers, epoch=100, counts=1, **more):
    cfg = dict(param_scheduler=list(schedulers), **more)
    return warm_up_updates(cfg, epoch, counts)


def read(tmp_path, base):
    """A config of mmdet's or mmseg's."""
    path = tmp_path / 'config.py'
    path.write_text(f"_base_ = '{base}'\n")
    return Config.fromfile(path)


# What each of these states, and iterations of an epoch at its own batch.
@pytest.mark.parametrize(('base', 'epoch', 'expected'), [
    ('mmdet::_base_/schedules/schedule_1x.py', 7330, 500),
    ('mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py', 7330, 1000),
    ('mmdet::rtmdet/rtmdet_s_8xb32-300e_coco.py', 458, 1000),
    ('mmdet::yolox/yolox_s_8xb8-300e_coco.py', 1833, 5 * 1833),
    ('mmdet::detr/detr_r50_8xb2-150e_coco.py', 7330, None),
    ('mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py', 3665,
     None),
    ('mmdet::centernet/centernet_r18_8xb16-crop512-140e_coco.py', 2932, 1000),
])
def test_mmdets_schedules(base, epoch, expected, tmp_path):
    cfg = read(tmp_path, base)
    assert warm_up_updates(cfg, epoch, 1) == expected
    epochs = cfg.train_cfg.max_epochs
    if expected is None:
        with pytest.raises(ValueError, match='states no warm-up: set agvm'):
            auto_begin(cfg, epochs * epoch, epochs, 1)
    else:
        begin = auto_begin(cfg, epochs * epoch, epochs, 1)
        assert begin == expected + 100


@needs_mmseg
@pytest.mark.parametrize(('base', 'expected'), [
    ('mmseg::_base_/schedules/schedule_160k.py', None),
    ('mmseg::_base_/schedules/schedule_20k.py', None),
    ('mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py', 1500),
    ('mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_'
     'ade20k-512x512.py', 1500),
])
def test_mmsegs_schedules(base, expected, tmp_path):
    cfg = read(tmp_path, base)
    start = time.process_time()
    assert warm_up_updates(cfg, None, 1) == expected
    assert time.process_time() - start < 1
    if expected is None:
        with pytest.raises(
                ValueError,
                match=r"agvm\.begin='auto' .* states no warm-up: set "
                r'agvm\.begin to the update .* int >= 0'):
            auto_begin(cfg, cfg.train_cfg.max_iters, None, 1)
    else:
        assert auto_begin(cfg, 160000, None, 1) == 1600
        assert auto_begin(cfg, 160000, None, 3) == 600


@pytest.mark.parametrize(('settings', 'expected'), [
    (WARM_UP, 500),
    (dict(WARM_UP, type='mmengine.optim.LinearLR'), 500),
    (dict(WARM_UP, type=LinearLR), 500),
    (dict(WARM_UP, begin=10), None),
    (dict(type='LinearLR', end=3), 300),
    (dict(type='LinearLR', end=3, convert_to_iter_based=True), 300),
    (dict(type='ConstantLR', factor=0.1, by_epoch=False, end=5), 5),
    (dict(type='ConstantLR', factor=0.1, by_epoch=False, end=10**9), None),
    (dict(type='ConstantLR', factor=1.0, by_epoch=False, end=5), None),
    (dict(type='ExponentialLR', gamma=1.05, by_epoch=False, end=155), 155),
    (dict(type='ExponentialLR', gamma=0.9, by_epoch=False, end=155), None),
    (dict(type='OneCycleLR', eta_max=0.1, total_steps=1000, by_epoch=False),
     300),
    (dict(
        type='OneCycleLR',
        eta_max=0.1,
        total_steps=10,
        convert_to_iter_based=True), 300),
    (dict(
        type='mmdet.QuadraticWarmupLR',
        by_epoch=True,
        begin=0,
        end=5,
        convert_to_iter_based=True), 500),
    # mmdet3d's cycle: half a cosine up to ten times the rate, here 1.
    (dict(type='CosineAnnealingLR', T_max=8, eta_min=10, end=8), 800),
    (dict(type='CosineAnnealingLR', T_max=8, eta_min=0, end=8), None),
    (dict(
        type='CosineRestartLR', periods=[5, 7], restart_weights=[1, 1],
        eta_min=0), None),
    (dict(type='MultiStepLR', milestones=[8, 11], end=12), None),
    (dict(type='PolyLR', by_epoch=False, end=160000), None),
    (dict(type='LinearMomentum', by_epoch=False, end=500), None),
    (dict(type='ReduceOnPlateauLR'), None),
    # Of a setting that no SGD has.
    (dict(type='CosineAnnealingParamScheduler', param_name='eps', T_max=10),
     None),
])
def test_every_kind(settings, expected):
    train_cfg = dict(max_epochs=12)
    assert updates(settings, train_cfg=train_cfg) == expected
    # Alone, in a list, and for an optimizer of several.
    for stated in (settings, [settings], dict(a=[settings], b=[])):
        cfg = Config(dict(param_scheduler=stated, train_cfg=train_cfg))
        assert warm_up_updates(cfg, 100, 1) == expected
        assert warm_up_updates(cfg, 100, 1, 'a') == expected
        by_name = isinstance(stated, dict) and 'a' in stated
        assert warm_up_updates(cfg, 100, 1,
                               'b') == (None if by_name else expected)


def test_the_rate_that_a_cycle_rises_to_is_compared_with_the_optimizers():
    cycle = dict(type='CosineAnnealingLR', T_max=8, eta_min=0.1, end=8)
    wrapper = dict(optimizer=dict(type='SGD', lr=0.01))
    assert updates(cycle) is None
    assert updates(cycle, optim_wrapper=wrapper) == 800
    several = dict(a=wrapper, b=dict(optimizer=dict(type='SGD', lr=0.2)))
    cfg = dict(param_scheduler=[cycle], optim_wrapper=several)
    assert warm_up_updates(cfg, 100, 1, 'a') == 800
    assert warm_up_updates(cfg, 100, 1, 'b') is None


@pytest.mark.parametrize(('counts', 'by_iteration', 'by_epoch'), [
    (1, 500, 303),
    (2, 250, 152),
    (3, 167, 101),
])
def test_accumulation(counts, by_iteration, by_epoch):
    epochs = dict(type='LinearLR', end=3)
    assert updates(WARM_UP, counts=counts) == by_iteration
    assert updates(epochs, epoch=101, counts=counts) == by_epoch
    converted = dict(epochs, convert_to_iter_based=True)
    assert updates(converted, epoch=101, counts=counts) == by_epoch
    # The latest of several.
    assert updates(
        epochs, WARM_UP, epoch=101, counts=counts) == max(
            by_iteration, by_epoch)


@pytest.mark.parametrize('world_size', [1, 4, 16])
def test_a_resolved_config_counts_updates(world_size):
    cfg = resolve(
        Config(
            dict(
                total_batch_size=64,
                train_dataloader=dict(
                    batch_size=4, sampler=dict(type='InfiniteSampler')),
                train_cfg=dict(type='IterBasedTrainLoop', max_iters=900),
                optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
                param_scheduler=[
                    WARM_UP,
                    dict(type='PolyLR', by_epoch=False, begin=500)
                ])), world_size)
    counts = cfg.optim_wrapper.accumulative_counts
    assert counts == 16 // world_size
    assert warm_up_updates(cfg, None, counts) == 500
    assert auto_begin(cfg, cfg.train_cfg.max_iters, None, counts) == 600


def test_an_end_that_is_left_out_is_the_runs():
    rising = dict(type='LinearLR', by_epoch=False)
    assert updates(rising, train_cfg=dict(max_epochs=12)) == 1200
    assert updates(rising, train_cfg=dict(max_iters=30), counts=2) == 15
    by_epoch = dict(type='MultiStepLR', milestones=[8])
    assert updates(by_epoch, WARM_UP, train_cfg=dict(max_epochs=1e1)) == 500
    assert updates(dict(type='LinearLR'), train_cfg=dict(max_epochs=12)
                   ) == 1200
    falling = dict(type='PolyLR', by_epoch=False)
    assert updates(falling, epoch=None) is None


@pytest.mark.parametrize('settings', [
    dict(type='LinearLR', end=3),
    dict(type='LinearLR', end=3, convert_to_iter_based=True),
    dict(type='LinearLR', by_epoch=False),
])
def test_an_epoch_of_unknown_length(settings):
    falling = dict(type='MultiStepLR', milestones=[8, 11])
    with pytest.raises(
            ValueError, match=r'param_scheduler\[1\] is a warm-up whose end'):
        updates(falling, settings, epoch=None, train_cfg=dict(max_epochs=12))
    assert updates(falling, WARM_UP, epoch=None) == 500


def test_a_run_that_ends_before():
    cfg = dict(param_scheduler=[WARM_UP])
    assert auto_begin(cfg, 601, None, 1) == 600
    assert auto_begin(cfg, 1203, 3, 2) == 350
    with pytest.raises(
            ValueError, match=r"begin='auto' .* 600 here, .* less than the "
            r'600 updates of the run'):
        auto_begin(cfg, 600, None, 1)
    # In a run that counts iterations MMEngine never ends an epoch of it.
    with pytest.raises(ValueError, match='but the run ends before: set agvm'):
        auto_begin(dict(param_scheduler=[dict(type='LinearLR', end=5)]), 600,
                   None, 1)
    with pytest.raises(ValueError, match='states no warm-up'):
        auto_begin(dict(), 600, None, 1)
