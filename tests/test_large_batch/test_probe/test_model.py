"""A model that is thrown away loads no file."""
from mmengine.config import Config

from agvm_mm.large_batch.probe.model import at_its_largest, without_files

PRETRAINED = dict(type='Pretrained', checkpoint='torchvision://resnet50')
NORMAL = dict(type='Normal', layer='Conv2d')


def test_no_weights_are_loaded():
    cfg = Config(
        dict(
            model=dict(
                pretrained='open-mmlab://resnet50_v1c',
                backbone=dict(type='ResNet', init_cfg=PRETRAINED),
                neck=dict(init_cfg=[NORMAL, PRETRAINED]),
                heads=[dict(init_cfg=NORMAL), dict(init_cfg=None)])))
    before = cfg.to_dict()
    assert without_files(cfg.model) == dict(
        backbone=dict(type='ResNet', init_cfg=None),
        neck=dict(init_cfg=[NORMAL]),
        heads=[dict(init_cfg=NORMAL), dict(init_cfg=None)])
    assert cfg.to_dict() == before


def test_batches_are_resized_to_the_largest_size():
    augment = dict(
        type='BatchSyncRandomResize',
        random_size_range=(480, 800),
        size_divisor=32,
        interval=10)
    model = dict(data_preprocessor=dict(batch_augments=[augment]))
    resized, = at_its_largest(model)['data_preprocessor']['batch_augments']
    assert resized == dict(
        augment, random_size_range=(800, 800), interval=1)
    assert augment['interval'] == 10
    assert at_its_largest(dict(type='Model')) == dict(type='Model')
