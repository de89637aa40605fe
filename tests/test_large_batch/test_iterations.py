"""What counts iterations counts updates, by way of resolve."""
import pytest
from mmengine.config import Config
from mmengine.registry import LOG_PROCESSORS
from mmengine.runner.utils import calc_dynamic_intervals

from agvm_mm.large_batch import resolve, warm_up_updates
from agvm_mm.large_batch.plan import make_plan
from agvm_mm.large_batch.recovery_hooks import RECOVERY


def config(**more):
    """A config as mmseg writes them, with everything that counts."""
    cfg = Config(
        dict(
            total_batch_size=64,
            max_samples_per_gpu=4,
            train_dataloader=dict(
                batch_size=2,
                sampler=dict(type='InfiniteSampler', shuffle=False)),
            train_cfg=dict(
                type='IterBasedTrainLoop',
                max_iters=100,
                val_interval=10,
                val_begin=30,
                dynamic_intervals=[(50, 5)]),
            optim_wrapper=dict(
                type='AGVMOptimWrapper',
                agvm=dict(begin=20, end=90),
                optimizer=dict(type='SGD', lr=0.1)),
            param_scheduler=[
                dict(type='LinearLR', by_epoch=False, begin=0, end=10),
                dict(type='PolyLR', by_epoch=False, begin=10),
            ],
            log_processor=dict(
                by_epoch=False,
                window_size=20,
                custom_cfg=[
                    dict(
                        data_src='loss',
                        method_name='mean',
                        window_size=window) for window in (15, 'global')
                ]),
            default_hooks=dict(
                logger=dict(type='LoggerHook', interval=5),
                checkpoint=dict(
                    type='CheckpointHook', by_epoch=False, interval=25)),
            custom_hooks=[
                dict(type='EMAHook', interval=2, begin_iter=5),
                dict(type='TotalBatchSizeHook')
            ]))
    cfg.merge_from_dict(more)
    return cfg


def test_resolve_rescales_what_counts_iterations():
    before = config()
    cfg = resolve(before, 4)
    assert before.to_dict() == config().to_dict()  # not changed
    assert cfg.train_dataloader.batch_size == 4
    assert cfg.optim_wrapper.accumulative_counts == 4
    assert cfg.train_cfg.max_iters == 400
    assert cfg.train_cfg.val_interval == 40
    assert cfg.train_cfg.val_begin == 120
    assert cfg.train_cfg.dynamic_intervals == [(197, 20)]
    assert cfg.default_hooks.logger.interval == 20
    assert cfg.default_hooks.checkpoint.interval == 100
    assert cfg.log_processor.window_size == 80
    assert [window.window_size
            for window in cfg.log_processor.custom_cfg] == [60, 'global']
    assert cfg.custom_hooks == [
        dict(
            type='UpdateEMAHook',
            interval=2,
            begin_iter=5,
            accumulative_counts=4),
        dict(type='TotalBatchSizeHook'),
        *(dict(type=hook) for hook in RECOVERY.values()),
    ]
    assert cfg.train_dataloader.sampler == dict(
        type='TotalBatchSampler',
        total_batch_size=64,
        samples_per_gpu=4,
        endless=True,
        seeded=True,
        shuffle=False)
    # These count updates.
    assert cfg.optim_wrapper.agvm == dict(begin=20, end=90)
    assert cfg.param_scheduler[0].end == 10
    assert cfg.param_scheduler[1].end == 100
    assert cfg.default_hooks.param_scheduler == dict(
        type='UpdateParamSchedulerHook', accumulative_counts=4)


def test_the_norms_of_gradients_are_averaged_over_updates():
    """MMEngine logs them once an update, and losses at each iteration."""
    cfg = config()
    cfg.optim_wrapper.clip_grad = dict(max_norm=1.)
    cfg.log_processor.custom_cfg.pop()
    for world_size, window in ((4, 80), (1, 320), (8, 40), (16, 20)):
        cfg = resolve(cfg, world_size)
        assert cfg.log_processor.window_size == window
        assert cfg.log_processor.custom_cfg[1:] == [
            dict(data_src='grad_norm', method_name='mean', window_size=20)
        ]
    LOG_PROCESSORS.build(dict(cfg.log_processor, type='LogProcessor'))
    # What a user states of them is of updates already.
    cfg = config()
    cfg.optim_wrapper.clip_grad = dict(max_norm=1.)
    own = dict(data_src='grad_norm', method_name='max', window_size=7)
    cfg.log_processor.custom_cfg = [own]
    assert resolve(cfg, 1).log_processor.custom_cfg == [own]


def test_validation_intervals_change_at_an_update():
    """As with the whole batch at once: from the 50th update on."""
    cfg = config()
    for world_size, begin, interval in ((16, 50, 5), (4, 197, 20),
                                        (8, 99, 10), (4, 197, 20)):
        cfg = resolve(cfg, world_size)
        assert calc_dynamic_intervals(
            interval * 2, cfg.train_cfg.dynamic_intervals) == (
                [0, begin], [interval * 2, interval])


def test_a_count_may_be_written_as_1e4():
    """MMEngine takes it for what it means, and so does --cfg-options."""
    written, meant = config(), config()
    for cfg, number in ((written, float), (meant, int)):
        cfg.train_cfg.update(max_iters=number(100), val_interval=number(10))
        cfg.default_hooks.checkpoint.interval = number(25)
        cfg.param_scheduler[0].end = number(10)
    resolved = resolve(written, 4)
    assert resolved.train_cfg.max_iters == 400
    assert resolved.to_dict() == resolve(meant, 4).to_dict()
    assert make_plan(written, 4) == make_plan(meant, 4)
    assert str(warm_up_updates(written, None, 1)) == '10'


def test_a_loop_without_a_type_is_that_of_its_length():
    """MMEngine ends in a KeyError there."""
    cfg = config()
    cfg.train_cfg = dict(max_iters=100)
    assert resolve(cfg, 4).train_cfg.type == 'TotalBatchIterLoop'
    cfg.train_cfg, cfg.param_scheduler = dict(max_epochs=3), None
    assert resolve(cfg, 4).train_cfg.type == 'TotalBatchEpochLoop'


def test_defaults_are_rescaled_too():
    cfg = config()
    for key in ('default_hooks', 'log_processor'):
        cfg.pop(key)
    cfg.train_cfg.pop('val_interval')
    cfg.custom_hooks = [dict(type='EMAHook')]
    cfg = resolve(cfg, 4)
    assert cfg.default_hooks.logger == dict(type='LoggerHook', interval=40)
    assert cfg.log_processor.window_size == 40
    assert cfg.custom_hooks[0] == dict(
        type='UpdateEMAHook', accumulative_counts=4)
    assert cfg.train_cfg.val_interval == 4000


@pytest.mark.parametrize('worlds', [(4, 1), (4, 16), (1, 2, 8), (8, 8)])
def test_resolved_configs_resolve_again(worlds):
    """As a user does who starts from the config that a run dumped."""
    cfg = config()
    for world_size in worlds:
        cfg = resolve(cfg, world_size)
    assert cfg.to_dict() == resolve(config(), worlds[-1]).to_dict()


def test_a_resolved_config_is_not_split_by_hand():
    cfg = resolve(config(), 4)
    cfg.optim_wrapper.accumulative_counts = 2
    with pytest.raises(
            ValueError, match=r'_counts=2 in .*_counts=4: leave it as it'):
        resolve(cfg, 4)


def several():
    """Two optimizers: a generator's with AGVM, a discriminator's without."""
    cfg = config()
    generator = cfg.optim_wrapper
    cfg.optim_wrapper = dict(
        constructor='UsersOwn',
        generator=generator,
        discriminator=dict(optimizer=dict(type='Adam', lr=0.1)))
    linear, poly = cfg.param_scheduler
    cfg.param_scheduler = dict(generator=[linear], discriminator=poly)
    return cfg


def test_several_optimizers():
    cfg = resolve(several(), 4)
    for name in ('generator', 'discriminator'):
        assert cfg.optim_wrapper[name].accumulative_counts == 4
    assert 'accumulative_counts' not in cfg.optim_wrapper
    assert cfg.train_cfg.max_iters == 400
    assert cfg.param_scheduler.discriminator.end == 100
    assert resolve(cfg, 1).to_dict() == resolve(several(), 1).to_dict()
    # AGVM of one of them takes two micro-batches.
    cfg = several()
    cfg.total_batch_size = 4
    assert resolve(cfg, 1).train_dataloader.batch_size == 2
    # Unless it is switched off, or not there.
    cfg.optim_wrapper.generator.agvm.end = 0
    assert resolve(cfg, 1).train_dataloader.batch_size == 4
    cfg.optim_wrapper.generator.pop('agvm')
    assert resolve(cfg, 1).train_dataloader.batch_size == 4


@pytest.mark.parametrize(('change', 'message'), [
    ({
        'optim_wrapper.generator.accumulative_counts': 2
    }, r'optim_wrapper\.generator\.accumulative_counts=2 beside'),
    ({
        'param_scheduler.generator.0.convert_to_iter_based': True,
        'param_scheduler.generator.0.by_epoch': True
    }, r'param_scheduler\.generator\[0\]\.convert_to_iter_based'),
    ({
        'optim_wrapper': 'a built one'
    }, "optim_wrapper='a built one' .* must be a dict"),
])
def test_errors_name_the_optimizer(change, message):
    cfg = several()
    cfg.merge_from_dict(change)
    with pytest.raises(ValueError, match=message):
        resolve(cfg, 4)


def test_epochs_are_left_alone():
    cfg = config(
        train_cfg=dict(_delete_=True, by_epoch=True, max_epochs=12),
        default_hooks=dict(checkpoint=dict(by_epoch=True, interval=1)))
    cfg.param_scheduler = [
        dict(type='MultiStepLR', by_epoch=True, milestones=[8, 11])
    ]
    cfg.train_dataloader.sampler.type = 'mmengine.dataset.DefaultSampler'
    resolved = resolve(cfg, 4)
    assert resolved.train_cfg == dict(
        type='TotalBatchEpochLoop', max_epochs=12)
    assert resolved.param_scheduler == cfg.param_scheduler
    assert resolved.default_hooks.checkpoint.interval == 1
    assert resolved.default_hooks.logger.interval == 20
    assert not resolved.train_dataloader.sampler.endless
    # The batch of the dataloader is the most that fits, if nothing else is
    # said.
    cfg.pop('max_samples_per_gpu')
    assert resolve(cfg, 4).optim_wrapper.accumulative_counts == 8


@pytest.mark.parametrize(('change', 'message'), [
    (dict(total_batch_size=None), 'total_batch_size is not set'),
    ({
        'optim_wrapper.accumulative_counts': 2
    }, 'optim_wrapper.accumulative_counts=2 beside total_batch_size=64'),
    ({
        'param_scheduler.0.convert_to_iter_based': True,
        'param_scheduler.0.by_epoch': True
    }, r'param_scheduler\[0\].convert_to_iter_based'),
    ({
        'train_cfg': dict(_delete_=True, by_epoch=True, max_epochs=12),
    }, r'param_scheduler\[1\].end is not set'),
    ({
        'train_cfg': dict(_delete_=True, by_epoch=True, max_epochs=12),
        'train_dataloader.sampler.type': 'ClassAwareSampler',
    }, "train_dataloader.sampler.type='ClassAwareSampler'"),
])
def test_what_cannot_be_said_in_updates(change, message):
    with pytest.raises(ValueError, match=message):
        resolve(config(**change), 4)
