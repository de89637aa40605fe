"""Samples of other libraries' batches, as their own preprocessors make them.

A slow suite: bash tools/run_tests.sh --zoo
"""
import pytest
import torch
from mmengine.hub import get_config
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import BaseDataElement

from agvm_mm.measuring.sample_counter import SampleCounter

from .zoo import complete_mmaction, folder_of

pytestmark = pytest.mark.zoo
IMAGE = torch.zeros(3, 32, 32, dtype=torch.uint8)
CLIP = torch.zeros(1, 3, 4, 32, 32, dtype=torch.uint8)


def samples(number):
    meta = dict(img_shape=(32, 32), batch_input_shape=(32, 32))
    return [BaseDataElement(metainfo=meta) for _ in range(number)]


def points(number):
    return [torch.rand(50, 4) for _ in range(number)]


# Of each: a config, a batch as a data loader gives it, and its samples.
BATCHES = {
    'images and labels': ('mmpretrain::resnet/resnet18_8xb32_in1k.py',
                          dict(inputs=[IMAGE] * 3,
                               data_samples=samples(3)), 3),
    'two views':
    ('mmpretrain::simclr/simclr_resnet50_16xb256-coslr-200e_in1k.py',
     dict(inputs=[torch.stack([IMAGE] * 3)] * 2, data_samples=samples(3)), 3),
    'eight crops':
    ('mmpretrain::swav/swav_resnet50_8xb32-mcrop-coslr-200e_in1k-224px-96px'
     '.py',
     dict(inputs=[torch.stack([IMAGE] * 2)] * 8, data_samples=samples(2)), 2),
    'two norms':
    ('mmpretrain::beit/beit_beit-base-p16_8xb256-amp-coslr-300e_in1k.py',
     dict(inputs=[torch.stack([IMAGE] * 3)] * 2, data_samples=samples(3)), 3),
    'key points': ('mmpose::body_2d_keypoint/topdown_heatmap/coco/'
                   'td-hm_res50_8xb64-210e_coco-256x192.py',
                   dict(inputs=[IMAGE] * 3, data_samples=samples(3)), 3),
    'points': ('mmdet3d::votenet/votenet_8xb16_sunrgbd-3d.py',
               dict(inputs=dict(points=points(3)),
                    data_samples=samples(3)), 3),
    'voxels':
    ('mmdet3d::pointpillars/pointpillars_hv_secfpn_8xb6-160e_kitti-3d-3class'
     '.py', dict(inputs=dict(points=points(3)), data_samples=samples(3)), 3),
    'points and images':
    ('mmdet3d::mvxnet/mvxnet_fpn_dv_second_secfpn_8xb2-80e_kitti-3d-3class'
     '.py',
     dict(
         inputs=dict(points=points(3), img=[IMAGE] * 3),
         data_samples=samples(3)), 3),
    'clips':
    ('mmaction::recognition/slowonly/slowonly_imagenet-pretrained-r50_16xb16-'
     '4x16x1-steplr-150e_kinetics700-rgb.py',
     dict(inputs=[CLIP] * 3, data_samples=samples(3)), 3),
    'clips, and images of another loader':
    ('mmaction::recognition/omnisource/slowonly_r50_8xb16-8x8x1-256e_imagenet-'
     'kinetics400-rgb.py', (dict(inputs=[CLIP] * 3, data_samples=samples(3)),
                            dict(inputs=[IMAGE] * 5,
                                 data_samples=samples(5))), 8),
}
VIEWS = ('two views', 'eight crops')


class CountedError(Exception):
    """Ends the forward pass, whose result nobody needs."""


class Model(torch.nn.Module):
    """Called as the library's own model is."""

    def forward(self, *args, **kwargs):
        raise CountedError


@pytest.mark.parametrize('kind', BATCHES)
def test_samples_of_a_batch(kind):
    name, batch, number = BATCHES[kind]
    host = name.partition('::')[0]
    if folder_of(host) is None:
        pytest.skip(f'{host} is not installed')
    complete_mmaction()
    cfg = get_config(name)
    init_default_scope(host)
    # mmpretrain's models take what stands beside them, of types they know.
    default = 'SelfSup' if kind in VIEWS else 'Cls'
    settings = cfg.model.get('data_preprocessor') or cfg.data_preprocessor
    settings.setdefault('type', f'{default}DataPreprocessor')
    data = MODELS.build(settings)(batch, True)
    with MODELS.switch_scope_and_registry(None) as registry:
        run = registry.get(cfg.model.type)._run_forward
    model, counter = Model(), SampleCounter()
    counter.attach(model)
    counter.start()
    with pytest.raises(CountedError):
        run(model, data, mode='loss')
    assert counter.take() == number
