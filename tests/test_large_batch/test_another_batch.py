"""A config at another total batch is the same, image by image."""
import copy
import math

import pytest
from mmengine.config import Config

from agvm_mm.large_batch import at_batch, resolve
from agvm_mm.large_batch.another_batch import stated_batch, with_runner
from agvm_mm.large_batch.plan import learning_rates, make_plan
from tests.commands import ROOT
from tests.test_large_batch.test_sampler import toy_config


def config(batch=32, **more):
    """1,600 updates by iteration, SGD."""
    cfg = Config(
        dict(
            total_batch_size=batch,
            train_dataloader=dict(
                batch_size=8, sampler=dict(type='InfiniteSampler')),
            train_cfg=dict(
                type='IterBasedTrainLoop', max_iters=1600, val_interval=160),
            optim_wrapper=dict(
                optimizer=dict(type='SGD', lr=0.01, momentum=0.9))))
    cfg.merge_from_dict(more)
    return cfg


def rates(cfg):
    return learning_rates(cfg, make_plan(cfg, 1))


SCHEDULERS = {
    'linear and poly': [
        dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=401),
        dict(type='PolyLR', by_epoch=False, begin=400, power=0.9,
             eta_min=1e-3)
    ],
    'exponential': [
        dict(type='ConstantLR', factor=0.01, by_epoch=False, end=10**9),
        dict(type='ExponentialLR', gamma=100**(1 / 400), by_epoch=False,
             end=401)
    ],
    'cosine': dict(type='CosineAnnealingLR', by_epoch=False, T_max=1600,
                   end=1600, eta_min=2e-3),
    'restarts': dict(type='CosineRestartLR', by_epoch=False, end=1600,
                     periods=[400, 1200], restart_weights=[1, 0.5],
                     eta_min=1e-4),
    'one cycle': dict(type='OneCycleLR', by_epoch=False, eta_max=0.1,
                      total_steps=1600, end=1600),
    'steps': dict(type='StepLR', by_epoch=False, step_size=400, end=1600),
    'milestones': dict(type='MultiStepLR', by_epoch=False, end=1600,
                       milestones=[800, 1200]),
}  # yapf: disable


@pytest.mark.parametrize('k', [4, 0.5])
def test_what_decays_without_an_end_decays_as_far(k):
    cfg = config(param_scheduler=dict(
        type='ExponentialLR', gamma=0.998, by_epoch=False))
    before, after = rates(cfg), rates(at_batch(cfg, int(32 * k))[0])
    assert len(before) == k * len(after)
    assert after[-1] / after[0] == pytest.approx(
        before[-1] / before[0], rel=0.01)


@pytest.mark.parametrize('rule', ['linear', 'square-root'])
@pytest.mark.parametrize('k', [4, 0.5])
@pytest.mark.parametrize('kind', SCHEDULERS)
def test_an_image_meets_the_rate_of_the_rule(kind, k, rule):
    """Each image, but for what one update is more or less."""
    cfg = config(param_scheduler=SCHEDULERS[kind])
    scaled, _ = at_batch(cfg, int(32 * k), rule)
    before, after = rates(cfg), rates(scaled)
    factor = k if rule == 'linear' else math.sqrt(k)
    assert len(after) * k == len(before) == 1600
    assert max(after) == pytest.approx(max(before) * factor, rel=1e-2)
    most = max(before)
    near = math.ceil(max(1, k)) + 1
    for update in range(0, len(after), 7):
        at = int(update * k)
        close = before[max(0, at - near):at + near + 1]
        low, high = min(close) - 5e-3 * most, max(close) + 5e-3 * most
        assert low * factor <= after[update] <= high * factor, update


def test_a_warm_up_is_one_update_at_least():
    """Or the rate would stay where the warm-up begins."""
    for kind in ('linear and poly', 'exponential'):
        cfg = config(param_scheduler=SCHEDULERS[kind])
        scaled, _ = at_batch(cfg, 32 * 800, 'square-root')
        assert rates(scaled)[1] > 0.9 * 0.01 * math.sqrt(800)


def test_what_counts_epochs_stays(tmp_path):
    cfg = toy_config(tmp_path, by_iteration=False)
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=2)
    before = copy.deepcopy(cfg.to_dict())
    scaled, remarks = at_batch(cfg, 16)
    assert scaled.train_cfg == cfg.train_cfg
    assert scaled.param_scheduler[1] == cfg.param_scheduler[1]
    assert scaled.param_scheduler[0].end == 3
    assert scaled.default_hooks == cfg.default_hooks
    assert scaled.optim_wrapper.optimizer.lr == 0.02
    assert cfg.to_dict() == before
    assert len(remarks) == 2
    assert 'the warm-up of 5 updates became one of 3, as long' in remarks[1]
    assert "'linear' (Goyal et al., 2017), the default of SGD" in remarks[0]


def test_loops_hooks_and_models():
    cfg = config(
        model=dict(head=dict(type='BoxInstMaskHead')),
        default_hooks=dict(
            logger=dict(type='LoggerHook', interval=50),
            checkpoint=dict(
                type='CheckpointHook', by_epoch=False, interval=160)),
        custom_hooks=[
            dict(type='EMAHook', begin_iter=100),
            dict(type='EMAHook', ema_type='MomentumAnnealingEMA',
                 momentum=0.001, gamma=100),
            dict(type='EMAHook', ema_type='ExpMomentumEMA', gamma=2000),
            dict(type='MeanTeacherHook'),
        ])  # yapf: disable
    cfg.train_cfg.dynamic_intervals = [(1200, 40)]
    scaled, _ = at_batch(cfg, 128)
    assert scaled.train_cfg == dict(
        type='IterBasedTrainLoop',
        max_iters=400,
        val_interval=40,
        dynamic_intervals=[(301, 10)])
    assert scaled.default_hooks.checkpoint.interval == 40
    assert scaled.default_hooks.logger.interval == 50
    assert scaled.model.head.warmup_iters == 2500
    plain, annealed, rising, teacher = scaled.custom_hooks
    assert plain.begin_iter == 25
    assert plain.momentum == pytest.approx(1 - (1 - 0.0002)**4)
    assert annealed.momentum == pytest.approx(1 - (1 - 0.001)**4)
    assert (annealed.gamma, rising.gamma) == (100, 500)
    assert teacher.momentum == pytest.approx(1 - (1 - 0.001)**4)
    assert 'gamma' not in plain
    resolve(scaled, 2)


def of_ladder(name, batch):
    return Config.fromfile(ROOT / f'configs/{name.format(batch)}.py')


@pytest.mark.parametrize(('name', 'batch', 'other', 'rule'), [
    ('faster_rcnn/faster-rcnn_r50_fpn_agvm-sgd_16e_bs{}_coco', 512, 1024,
     'square-root'),
    ('faster_rcnn/faster-rcnn_r50_fpn_agvm-adamw_12e_bs{}_coco', 256, 1536,
     'square-root'),
    ('semantic_fpn/semantic-fpn_r50_agvm-sgd_{}_ade20k-512x512', '10k_bs512',
     '2500_bs2048', 'square-root'),
])
def test_agvm_begins_as_in_the_ladder(name, batch, other, rule):
    """What the bundled configs state by hand, of another one of them."""
    cfg, meant = of_ladder(name, batch), of_ladder(name, other)
    scaled, _ = at_batch(cfg, meant.total_batch_size, rule)
    theirs, ours = meant.optim_wrapper, scaled.optim_wrapper
    assert ours.agvm.interval == theirs.agvm.interval
    assert abs(ours.agvm.begin - theirs.agvm.begin) <= 1
    if 'clip_grad_range' in theirs:
        assert ours.clip_grad_range == pytest.approx(
            theirs.clip_grad_range, abs=1)
    assert [s.get('end') for s in scaled.param_scheduler] == [
        pytest.approx(s.get('end'), abs=1) for s in meant.param_scheduler
    ]
    assert scaled.train_cfg == meant.train_cfg


def test_agvm_without_a_warm_up_or_with_one_in_epochs(tmp_path):
    agvm = dict(begin=100, end=800)
    cfg = config()
    cfg.optim_wrapper.agvm = agvm
    assert at_batch(cfg, 128)[0].optim_wrapper.agvm == dict(begin=25, end=200)
    cfg.optim_wrapper.agvm = dict(begin='auto')
    assert at_batch(cfg, 2048)[0].optim_wrapper.agvm == dict(
        begin='auto', interval=5)
    cfg = toy_config(tmp_path, by_iteration=False)
    cfg.num_train_images = 64
    cfg.param_scheduler = dict(type='LinearLR', start_factor=0.1, end=2)
    cfg.optim_wrapper.agvm = dict(begin=20)
    # Of 8 updates an epoch, and of 4.
    assert at_batch(cfg, 16)[0].optim_wrapper.agvm.begin == 20 - 8


def test_several_optimizers():
    sgd = dict(optimizer=dict(type='SGD', lr=0.01))
    adam = dict(optimizer=dict(type='Adam', lr=1e-3))
    poly = dict(type='PolyLR', by_epoch=False, end=1600, eta_min=1e-4)
    cfg = config(param_scheduler=dict(a=[poly], b=[poly]))
    cfg.optim_wrapper = dict(constructor='Own', a=sgd, b=adam)
    scaled, (*remarks, _) = at_batch(cfg, 128)
    assert scaled.optim_wrapper.a.optimizer.lr == 0.04
    assert scaled.optim_wrapper.b.optimizer.lr == 0.002
    assert scaled.param_scheduler.a[0].eta_min == 4e-4
    assert scaled.param_scheduler.b[0].eta_min == 2e-4
    assert scaled.param_scheduler.b[0].end == 400
    assert [remark.split(':')[0] for remark in remarks
            ] == ['optim_wrapper.a.optimizer', 'optim_wrapper.b.optimizer']
    cfg.param_scheduler = [poly]
    with pytest.raises(ValueError, match='different rules here'):
        at_batch(cfg, 128)
    scaled, _ = at_batch(cfg, 128, 'square-root')
    assert scaled.param_scheduler[0].end == 400


@pytest.mark.parametrize(('change', 'message'), [
    (dict(total_batch_size=None), 'the total batch that lr is of is not known'
     ),
    (dict(param_scheduler=[dict(type='LinearMomentum', end=5)],
          optim_wrapper=dict(optimizer=dict(type='Adam', lr=1e-3))),
     r"param_scheduler\[0\].type='LinearMomentum' moves the momentum, which"),
    (dict(optim_wrapper=dict(accumulative_counts=2)),
     'accumulative_counts=2 beside total_batch_size=32: leave it out'),
    (dict(auto_scale_lr=dict(enable=True)), 'auto_scale_lr.enable=True'),
])  # yapf: disable
def test_what_cannot_be_taken_to_another_batch(change, message):
    with pytest.raises(ValueError, match=message):
        at_batch(config(**change), 128)


@pytest.mark.parametrize(('setting', 'value', 'message'), [
    ('optim_wrapper.optimizer', None, 'optimizer must be a dict, as'),
    ('optim_wrapper.optimizer.weight_decay', '5e-4',
     "weight_decay='5e-4' must be a number >= 0"),
    ('optim_wrapper.optimizer.betas', 0.9,
     'optimizer.betas=0.9: each must be a number in .0, 1'),
    ('optim_wrapper.optimizer.betas', (0.9, '0.999'), 'each must be a number'),
    ('optim_wrapper.optimizer.eps', '1e-8', "eps='1e-8' must be a number"),
    ('param_scheduler.0.end', '100',
     r"param_scheduler.0..end='100' must be a number >= 0"),
    ('param_scheduler.0.milestones', [10, '20'], "milestones='20' must be a"),
    ('param_scheduler.0.eta_min', '1', "eta_min='1' must be a number"),
    ('custom_hooks.0.momentum', 1, r'momentum=1 of an average .* in \(0, 1'),
    ('custom_hooks.0.momentum', '0.1', "momentum='0.1' of an average"),
])
def test_what_is_no_number(setting, value, message):
    cfg = config(
        custom_hooks=[dict(type='EMAHook')],
        param_scheduler=[dict(type='MultiStepLR', by_epoch=False)])
    cfg.optim_wrapper.optimizer = dict(type='AdamW', lr=0.001)
    cfg.merge_from_dict({setting: value})
    with pytest.raises(ValueError, match=message):
        at_batch(cfg, 64)


def test_a_rate_of_0_stays_0():
    cfg = config()
    cfg.optim_wrapper.optimizer.update(lr=0, weight_decay=0.1)
    for rule, decay in (('linear', 0.1), ('square-root', 0.2)):
        optimizer = at_batch(cfg, 128, rule)[0].optim_wrapper.optimizer
        assert (optimizer.lr, optimizer.weight_decay) == (0, decay)


def test_a_config_that_a_run_wrote():
    assert resolve(config(), 4).optim_wrapper.accumulative_counts == 1
    scaled, _ = at_batch(resolve(config(), 4), 128)
    assert scaled.train_cfg.max_iters == 400
    with pytest.raises(ValueError, match='start from the config that it was'):
        at_batch(resolve(config(), 2), 128)


def test_a_scheduler_of_a_user():
    own = dict(type='Own', by_epoch=False, begin=8, end=16, eta_min=0.1)
    scaled, remarks = at_batch(config(param_scheduler=own), 64)
    assert scaled.param_scheduler == dict(
        type='Own', by_epoch=False, begin=4, end=8, eta_min=0.2)
    assert 'only begin and end were changed' in remarks[1]


@pytest.mark.parametrize(('kind', 'key'), [('CosineAnnealing', 'eta_min'),
                                           ('OneCycle', 'eta_max')])
def test_a_rate_of_a_general_scheduler_follows(kind, key):
    steps = dict(total_steps=16) if kind == 'OneCycle' else {}

    def scaled(**named):
        schedule = {
            'by_epoch': False, 'begin': 0, 'end': 16, key: 0.1, **steps,
            **named
        }  # yapf: disable
        return at_batch(config(param_scheduler=schedule), 64)

    (rate, _), (general, remarks), (other, told) = (
        scaled(type=f'{kind}LR'),
        scaled(type=f'{kind}ParamScheduler', param_name='lr'),
        scaled(type=f'{kind}ParamScheduler', param_name='weight_decay'))
    assert general.param_scheduler[key] == rate.param_scheduler[key] > 0.1
    assert other.param_scheduler[key] == 0.1
    about = "values of 'weight_decay', which are as they were"
    assert about in ' '.join(told)
    assert about not in ' '.join(remarks)


def test_a_config_that_is_split_by_hand_into_one():
    with pytest.raises(ValueError, match='runs as it is split by hand'):
        at_batch(
            config(optim_wrapper=dict(accumulative_counts=1)), 64)


def test_what_fits_at_once_is_found_later():
    cfg = config()
    cfg.max_samples_per_gpu = 'auto'
    scaled, _ = at_batch(cfg, 64)
    assert scaled.max_samples_per_gpu == 'auto'
    with pytest.raises(ValueError, match=r'find_samples\(cfg, launcher\)'):
        resolve(scaled, 2)


@pytest.mark.parametrize(('stated', 'ours'), [
    ('Runner', 'TotalBatchRunner'),
    ('FlexibleRunner', 'TotalBatchFlexibleRunner'),
    ('TotalBatchFlexibleRunner', 'TotalBatchFlexibleRunner'),
    ('Own', 'Own'),
])
def test_a_runner_of_mmengines_becomes_ours(stated, ours):
    assert with_runner(Config(dict(runner_type=stated))).runner_type == ours


def test_the_batch_of_a_config_that_is_mmdets_alone():
    cfg = Config.fromfile(ROOT / 'configs/_base_/digits/cpu.py')
    runner = cfg.runner_type
    assert with_runner(cfg).runner_type == runner
    cfg = Config(dict(auto_scale_lr=dict(base_batch_size=16)))
    assert stated_batch(cfg) == 16
    assert with_runner(cfg).runner_type == 'TotalBatchRunner'
    assert cfg.custom_imports.imports == ['agvm_mm']


@pytest.mark.parametrize('batch', [0, '16', 16.0])
def test_a_batch_that_is_none_is_told_by_its_field(batch):
    cfg = Config(dict(auto_scale_lr=dict(base_batch_size=batch)))
    with pytest.raises(
            ValueError, match=r'^auto_scale_lr\.base_batch_size=.* must be'):
        stated_batch(cfg)


def test_options_inside_of_the_warm_up():
    cfg = config(
        param_scheduler=dict(
            type='LinearLR', start_factor=0.1, by_epoch=False, end=500))
    cfg.optim_wrapper.agvm = dict(begin=100)
    cfg.optim_wrapper.clip_grad_range = (0, 20)
    wrapper = at_batch(cfg, 512)[0].optim_wrapper
    assert wrapper.agvm.begin == 0
    assert wrapper.clip_grad_range == (0, 1)
