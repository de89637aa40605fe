"""Errors of libraries, told by the field that they were building.

By MMEngine's own runner: it has no checks of ours.
"""
import copy
import re

import pytest
from command_line.building import named_field
from mmdet.evaluation.metrics import coco_panoptic_metric
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, RUNNERS
from mmengine.runner import Runner

from tests.commands import ROOT


@DATASETS.register_module()
class WithFault(BaseDataset):
    """A user's own."""

    def load_data_list(self):
        return self.nothing


@pytest.fixture(name='config', scope='module')
def _config(digits, tmp_path_factory):
    cfg = Config.fromfile(
        ROOT / 'configs/digits/retinanet_r18_fpn_sgd_digits.py')
    for loader in cfg.train_dataloader, cfg.val_dataloader:
        loader.dataset.data_root = digits
    cfg.val_evaluator.ann_file = f'{digits}annotations/instances_val.json'
    for key in 'total_batch_size', 'runner_type', 'max_samples_per_gpu':
        cfg.pop(key, None)
    cfg.work_dir = str(tmp_path_factory.mktemp('work'))
    cfg.train_cfg = dict(
        type='IterBasedTrainLoop', max_iters=1, val_interval=2)
    return cfg


def train(config, **changes):
    cfg = copy.deepcopy(config)
    cfg.merge_from_dict({k.replace('__', '.'): v for k, v in changes.items()})
    with named_field(cfg):
        RUNNERS.build(cfg).train()


@pytest.mark.parametrize(('field', 'change', 'error'), [
    ('train_dataloader.dataset', dict(ann_file='gone.json'),
     r"FileNotFoundError: .*No such file.*gone.json'$"),
    ('val_dataloader.dataset', dict(ann_file='gone.json'),
     'FileNotFoundError: .*gone.json'),
    ('val_dataloader.dataset', dict(type='CocoDatasett'),
     'KeyError: .*CocoDatasett is not in the .*dataset registry'),
    ('train_dataloader.dataset', dict(nonsense=3),
     r"TypeError: .*'nonsense' \(.*base_det_dataset.py, line \d+\)$"),
    ('train_dataloader.dataset', dict(metainfo=dict(classes=('gone', ))),
     'ValueError: need at least one array'),
    ('val_evaluator', dict(ann_file='gone.json'),
     "FileNotFoundError: .*'gone.json'$"),
    ('val_evaluator', dict(type='CocoMetricc'), 'KeyError: .*CocoMetricc'),
    ('val_cfg', dict(type='ValLop'), 'KeyError: .*ValLop'),
    ('default_hooks.checkpoint', dict(type='Saver'), 'KeyError: .*Saver'),
    ('visualizer', dict(type='Picture'), 'KeyError: .*Picture'),
    ('model.backbone', dict(frozen_stages=9),
     "AttributeError: .*'layer5'"),
    ('model.bbox_head', dict(type='RetinaHed'), 'KeyError: .*RetinaHed'),
    ('model.bbox_head.loss_cls', dict(gama=2), "TypeError: .*'gama'"),
    ('optim_wrapper.optimizer', dict(learning_rate=1),
     "TypeError: .*'learning_rate'"),
])  # yapf: disable
def test_the_field_that_a_library_could_not_build(field, change, error,
                                                  config):
    with pytest.raises((OSError, ValueError),
                       match=f'^{re.escape(field)} cannot be built: {error}'):
        train(config, **{f'{field}.{key}': v for key, v in change.items()})


def test_a_library_that_a_metric_lacks(config, monkeypatch):
    monkeypatch.setattr(coco_panoptic_metric, 'panopticapi', None)
    with pytest.raises(
            ValueError,
            match=r'^val_evaluator cannot be built: RuntimeError: panopticapi '
            'is not installed, please install it by'):
        train(
            config,
            val_evaluator=dict(_delete_=True, type='CocoPanopticMetric'))


@pytest.mark.parametrize('runner', ['Runner', 'FlexibleRunner'])
@pytest.mark.parametrize(('field', 'change', 'error'), [
    ('log_level', 'LOUD', "KeyError: 'LOUD'"),
    ('randomness', dict(sed=1), "TypeError: .*'sed'"),
    ('randomness', dict(seed='one'), 'TypeError'),
    ('env_cfg', dict(mp_cfg=dict(mp_start_method='x')), 'ValueError: .*x'),
])
def test_a_setting_without_a_type(field, change, error, runner, config):
    with pytest.raises(ValueError, match=f'^{field} cannot be set: {error}'):
        train(
            config,
            runner_type=runner,
            # Of the logger, which may be there.
            experiment_name=f'{field}-{change}-{runner}',
            **{field: change})


@pytest.mark.parametrize(('place', 'at'), [
    ('train_dataloader.dataset.pipeline', 'train_dataloader.dataset.'
     'pipeline[0]'),
    ('custom_hooks', 'custom_hooks[0]'),
    ('param_scheduler', 'param_scheduler[0]'),
])
def test_an_entry_of_a_list(place, at, config):
    with pytest.raises(ValueError, match=rf'^{re.escape(at)} cannot be built'):
        train(config, **{place: [dict(type='Gone')]})


NEW_STYLE = """
from mmdet.datasets import CocoDataset
from mmengine.dataset import DefaultSampler

train_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type=DefaultSampler),
    dataset=dict(type=CocoDataset, ann_file='gone.json', pipeline=[]))
"""


def test_a_config_in_the_new_style(tmp_path):
    (tmp_path / 'config.py').write_text(NEW_STYLE)
    cfg = Config.fromfile(tmp_path / 'config.py')
    message = r'^train_dataloader\.dataset cannot be built: .*gone'
    with pytest.raises(OSError, match=message), named_field(cfg):
        Runner.build_dataloader(cfg.train_dataloader)


@pytest.mark.parametrize('settings', [
    dict(type='WithFault'),
    dict(type='RepeatDataset', times=1, dataset=dict(type='WithFault')),
])
def test_a_fault_of_a_users_own_class_keeps_its_traceback(settings, config):
    config = copy.deepcopy(config)
    config.train_dataloader.dataset = settings
    with pytest.raises(AttributeError, match=r'^.WithFault. .* .nothing.'):
        train(config)


def test_an_error_after_all_is_built_keeps_its_traceback(config):
    images = {'train_dataloader.dataset.data_prefix.img': 'gone/'}
    with pytest.raises(FileNotFoundError, match='No such file'):
        train(config, **images)
