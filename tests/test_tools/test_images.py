"""The largest training image, as configs state it."""
import pytest
from command_line.configs import load_config
from mmengine.config import Config
from plans.images import largest_image

RESIZE = dict(type='Resize', scale=(1333, 800), keep_ratio=True)
CHOICE = dict(
    type='RandomChoiceResize', scales=[(480, 1333), (800, 1333), (640, 1333)])


def config(pipeline, scope=None, **preprocessor):
    return Config(
        dict(
            default_scope=scope,
            model=dict(data_preprocessor=preprocessor),
            train_dataloader=dict(dataset=dict(pipeline=pipeline))))


@pytest.mark.parametrize(('pipeline', 'size'), [
    ([RESIZE], (800, 1333)),
    ([dict(RESIZE, type='mmdet.Resize')], (800, 1333)),
    ([dict(type='Resize', scale=640)], (640, 640)),
    ([CHOICE], (800, 1333)),
    ([dict(type='RandomResize', scale=[(1333, 640), (1333, 800)])],
     (800, 1333)),
    ([dict(type='RandomResize', scale=(640, 512), ratio_range=(0.1, 2.0))],
     (1024, 1280)),
    ([RESIZE, dict(type='RandomCrop', crop_size=(700, 600))], (600, 700)),
    ([dict(type='RandomCrop', crop_size=(300, 200))], (200, 300)),
    ([RESIZE, dict(type='RandomCrop', crop_type='relative_range',
                   crop_size=(0.3, 0.3))], (800, 1333)),
    ([RESIZE, dict(type='Pad', size=(1400, 1400))], (1400, 1400)),
    ([RESIZE, dict(type='Pad', size_divisor=32)], (800, 1344)),
    ([dict(type='RandomChoice', transforms=[[dict(type='Resize', scale=400)],
                                            [CHOICE]])], (800, 1333)),
    ([RESIZE, dict(type='Mosaic', img_scale=(640, 640))], None),
    ([dict(type='Resize', scale_factor=2.0)], None),
    ([dict(type='LoadImageFromFile')], None),
    ([], None),
])  # yapf: disable
def test_of_a_pipeline(pipeline, size):
    assert largest_image(config(pipeline)) == size
    # Of what a data set may be wrapped in.
    cfg = config(None)
    inner = dict(pipeline=pipeline)
    cfg.train_dataloader.dataset = dict(
        dataset=dict(datasets=[inner, inner]))
    assert largest_image(cfg) == size


def test_of_a_preprocessor():
    assert largest_image(config([RESIZE], pad_size_divisor=32)) == (800, 1344)
    assert largest_image(config([RESIZE], size=(512, 640))) == (512, 640)
    fixed = [dict(type='BatchFixedSizePad', size=(1024, 1024))]
    assert largest_image(config([], batch_augments=fixed)) == (1024, 1024)
    crop = dict(type='RandomCrop', crop_size=(512, 1024))
    assert largest_image(config([crop], 'mmseg')) == (512, 1024)
    assert largest_image(config([crop], 'mmdet')) == (1024, 512)


@pytest.mark.parametrize(('name', 'size'), [
    ('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', (800, 1344)),
    ('mmdet::detr/detr_r50_8xb2-150e_coco.py', (800, 1333)),
    ('mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py',
     (1024, 1024)),
    ('mmseg::pspnet/pspnet_r50-d8_4xb2-80k_cityscapes-512x1024.py',
     (512, 1024)),
    ('mmdet::yolox/yolox_s_8xb8-300e_coco.py', (800, 800)),
    ('configs/digits/semantic-fpn_r18_agvm_digits.py', (96, 96)),
])
def test_of_real_configs(name, size):
    assert largest_image(load_config(name)) == size
