import pytest
import torch
from mmengine.hub import get_config
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from agvm_mm import partition_parameters
from tests.toy import ToyDetector

DETECTOR = ['backbone', 'neck', 'rpn_head', 'roi_head.bbox_head']
# A config of the libraries' own, and the modules that AGVM finds in it.
MODELS_OF_THE_ZOO = {
    'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py':
    DETECTOR,
    'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py':
    [*DETECTOR, 'roi_head.mask_head'],
    'mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py':
    [*DETECTOR, 'roi_head.mask_head'],
    'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py':
    ['backbone', 'neck', 'bbox_head'],
    'mmdet::panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py':
    [*DETECTOR, 'roi_head.mask_head', 'semantic_head'],
    'mmseg::sem_fpn/fpn_r50_4xb4-160k_ade20k-512x512.py':
    ['backbone', 'neck', 'decode_head'],
    'mmseg::upernet/upernet_r50_4xb4-160k_ade20k-512x512.py':
    ['backbone', 'decode_head', 'auxiliary_head'],
}
FPN_OF_UPERNET = [
    f'decode_head.{name}'
    for name in ('psp_modules', 'bottleneck', 'lateral_convs', 'fpn_convs',
                 'fpn_bottleneck')
]


def load(name):
    cfg = get_config(name)
    init_default_scope(cfg.default_scope)
    return MODELS.build(cfg.model)


@pytest.mark.parametrize('name', list(MODELS_OF_THE_ZOO))
def test_real_models(name):
    model = load(name)
    partition = partition_parameters(model)
    assert list(partition) == MODELS_OF_THE_ZOO[name]
    trainable = [n for n, p in model.named_parameters() if p.requires_grad]
    covered = [n for names in partition.values() for n in names]
    assert sorted(covered) == sorted(trainable)
    assert len(set(covered)) == len(covered)
    for names in partition.values():
        assert names == [n for n in trainable if n in set(names)]


def test_upernet_with_its_pyramid_named():
    model = load('mmseg::upernet/upernet_r50_4xb4-160k_ade20k-512x512.py')
    partition = partition_parameters(model, dict(fpn=FPN_OF_UPERNET))
    assert partition['decode_head'] == [
        'decode_head.conv_seg.weight', 'decode_head.conv_seg.bias'
    ]
    assert set(partition) == {
        'backbone', 'decode_head', 'fpn', 'auxiliary_head'
    }


def test_frozen_parameters_are_left_out():
    model = load('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py')
    assert not model.backbone.conv1.weight.requires_grad
    names = partition_parameters(model)['backbone']
    assert 'backbone.conv1.weight' not in names
    assert 'backbone.layer2.0.conv1.weight' in names


def test_longest_prefix_wins_and_ends_at_a_dot():
    model = ToyDetector()
    partition = partition_parameters(
        model,
        dict(
            heads=['rpn_head', 'roi_head'],
            mask='roi_head.mask_head',
            first='backbone.0'))
    assert {
        m: len(names)
        for m, names in partition.items()
    } == dict(
        first=2, backbone=2, neck=2, heads=4, mask=2)
    model.rpn_head_2 = nn.Linear(2, 2)
    assert 'rpn_head_2' in partition_parameters(model, dict(r='rpn_head'))


def test_root_parameters_are_modules_of_their_own():
    model = ToyDetector()
    model.level_embed = nn.Parameter(torch.zeros(4))
    model.roi_head.temperature = nn.Parameter(torch.zeros(1))
    partition = partition_parameters(model)
    assert partition['level_embed'] == ['level_embed']
    assert partition['roi_head'] == ['roi_head.temperature']


@pytest.mark.parametrize('frozen', ['teacher', 'student', None])
def test_detectors_in_a_model_are_opened(frozen):
    model = nn.Module()
    model.teacher, model.student = ToyDetector(), ToyDetector()
    model.track_head = nn.Linear(2, 2)
    if frozen is not None:
        getattr(model, frozen).requires_grad_(requires_grad=False)
    partition = partition_parameters(model)
    parts = ('backbone', 'neck', 'rpn_head', 'roi_head.bbox_head',
             'roi_head.mask_head')
    assert set(partition) == {
        'track_head', *(f'{which}.{part}'
                        for which in ('teacher', 'student') if which != frozen
                        for part in parts)
    }


@pytest.mark.parametrize('trained', [True, False])
def test_a_backbone_of_its_own_leaves_other_detectors_whole(trained):
    model = ToyDetector()
    model.backbone.requires_grad_(requires_grad=trained)
    model.teacher = ToyDetector()
    assert 'teacher' in partition_parameters(model)


def test_shared_parameters_are_counted_once():
    model = ToyDetector()
    model.aux_head = model.rpn_head
    assert 'aux_head' not in partition_parameters(model)


@pytest.mark.parametrize(('modules', 'message'), [
    (dict(a='bakbone'), r"modules\['a'\]: the prefix 'bakbone' fits no "
     'trainable .*: backbone, backbone.0, '),
    (dict(a='back'), "prefix 'back' fits no trainable"),
    (dict(a='neck', b='neck'), "prefix 'neck' is named twice, by 'a' and by "
     "'b'"),
    (dict(a='roi_head', b=['roi_head.bbox_head', 'roi_head.mask_head'
                           ]), "'a'.* is left without parameters"),
    (['backbone'], r'must be a dict .* but got \['),
    (dict(a=3), 'must be a dict .* but got'),
    (dict(a=[]), 'must be a dict .* but got'),
    ({
        1: 'neck'
    }, 'must be a dict .* but got'),
])
def test_bad_modules(modules, message):
    with pytest.raises(ValueError, match=message):
        partition_parameters(ToyDetector(), modules)
