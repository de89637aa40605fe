import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS

from agvm_mm.large_batch import resolve
from agvm_mm.large_batch.plan import (
    learning_rates,
    make_plan,
    num_train_images,
)
from tests.commands import RETINANET
from tests.test_large_batch.test_sampler import toy_config


def test_a_plan_by_hand(tmp_path):
    cfg = toy_config(tmp_path, by_iteration=False)
    cfg.num_train_images = 50
    plan = make_plan(cfg, 2)
    assert (plan.samples_per_gpu, plan.accumulative_counts) == (2, 2)
    assert plan.total_batch_size == 8
    assert plan.num_replicas == 4
    assert (plan.epochs, plan.updates_per_epoch, plan.updates) == (3, 7, 21)
    assert plan.images_seen == 21 * 8
    rates = learning_rates(cfg, plan)
    assert rates[0] == pytest.approx(0.001)
    assert rates[4:14] == [0.01] * 10
    assert rates[14:] == pytest.approx([0.001] * 7)


def test_a_plan_by_iteration(tmp_path):
    cfg = toy_config(tmp_path, by_iteration=True)
    plan = make_plan(cfg, 1)
    assert (plan.epochs, plan.updates) == (None, 9)
    rates = learning_rates(cfg, plan)
    # As one of two optimizers, with schedules of its own.
    cfg.optim_wrapper = dict(
        constructor='Own', a=cfg.optim_wrapper, b=cfg.optim_wrapper)
    cfg.param_scheduler = dict(a=cfg.param_scheduler, b=[])
    assert make_plan(cfg, 1) == plan
    assert learning_rates(cfg, plan, 'a') == rates
    assert learning_rates(cfg, plan, 'b') == [0.01] * 9


def test_images_are_stated_or_counted(digits):
    assert num_train_images(toy_config('work', by_iteration=False)) == 21
    cfg = Config.fromfile(RETINANET)
    cfg.train_dataloader.dataset.data_root = str(digits)
    assert num_train_images(cfg) == 16
    cfg.train_dataloader.dataset.data_root = 'nowhere/'
    with pytest.raises(FileNotFoundError, match='or set num_train_images'):
        num_train_images(cfg)


@pytest.mark.parametrize('images', [0, -1, 'many', 1.5])
def test_a_stated_number_of_images_is_one(images, tmp_path):
    cfg = toy_config(tmp_path, by_iteration=False)
    cfg.num_train_images = images
    with pytest.raises(ValueError, match=f'num_train_images={images!r} must'):
        make_plan(cfg, 2)


@pytest.mark.parametrize('by_iteration', [False, True])
@pytest.mark.parametrize('length', [0, -1, 'long', None])
def test_a_training_has_a_length(length, by_iteration, tmp_path):
    cfg = toy_config(tmp_path, by_iteration=by_iteration)
    key = 'max_iters' if by_iteration else 'max_epochs'
    cfg.train_cfg[key] = length
    with pytest.raises(ValueError, match=f'train_cfg.{key}={length!r} must'):
        make_plan(cfg, 2)


def test_a_scheduler_of_another_setting_is_passed_over(tmp_path):
    cfg = toy_config(tmp_path, by_iteration=False)
    plan = make_plan(cfg, 1)
    rates = learning_rates(cfg, plan)
    cfg.param_scheduler = [
        *cfg.param_scheduler,
        dict(type='CosineAnnealingParamScheduler', param_name='eps', T_max=2)
    ]
    assert learning_rates(cfg, plan) == rates


@pytest.mark.parametrize('settings', [
    dict(type='Gone'),
    dict(type='LinearLR', by_epoch=False, begin=0, end=-5),
    dict(type='LinearLR', by_epoch=False, end=5, gama=0.1),
])
def test_a_scheduler_that_cannot_be_built_is_named(settings, tmp_path):
    cfg = toy_config(tmp_path, by_iteration=False)
    plan = make_plan(cfg, 1)
    cfg.param_scheduler = [*cfg.param_scheduler, settings]
    last = len(cfg.param_scheduler) - 1
    with pytest.raises(
            ValueError, match=rf'^param_scheduler\[{last}\] cannot be built'):
        learning_rates(cfg, plan)


def test_images_that_a_data_set_asserts_to_be_there(tmp_path):
    cfg = toy_config(tmp_path, by_iteration=False)
    cfg.train_dataloader.dataset.type = 'Asserts'
    with pytest.raises(FileNotFoundError, match=r'no train\.txt.*num_train'):
        num_train_images(cfg)


@DATASETS.register_module()
class Asserts:
    """As mmseg's BaseSegDataset, of its ann_file."""

    def __init__(self):
        raise AssertionError('no train.txt')


def test_an_epoch_of_stated_batches_and_no_scope():
    """As new-style configs state default_scope, and a loader cuts epochs."""
    cfg = Config(dict(
        default_scope=None, total_batch_size=4,
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        train_dataloader=dict(
            batch_size=2, dataset=dict(type='ToyData'),
            sampler=dict(type='DefaultSampler')),
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=3)))
    assert make_plan(cfg, 1).updates_per_epoch == 6  # of 21 images
    cfg.train_dataloader.num_batch_per_epoch = 2
    # As it is stated, and as a run of it has dumped it.
    for one in (cfg, resolve(cfg, 1)):
        planned = make_plan(one, 1)
        assert (planned.updates_per_epoch, planned.updates) == (2, 6)


@pytest.mark.parametrize(('settings', 'rate'), [
    (dict(type='AdamW'), 0.001),  # its class's default
    (dict(type='SGD', lr=0.5), 0.5),
])
def test_a_single_scheduler_and_a_default_rate(settings, rate):
    cfg = Config(dict(
        optim_wrapper=dict(optimizer=settings), total_batch_size=4,
        train_dataloader=dict(
            batch_size=4, sampler=dict(type='InfiniteSampler')),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=10),
        param_scheduler=dict(type='ConstantLR', factor=0.5, by_epoch=False,
                             end=5)))
    rates = learning_rates(cfg, make_plan(cfg, 1))
    assert rates == pytest.approx([rate / 2] * 4 + [rate] * 6)
