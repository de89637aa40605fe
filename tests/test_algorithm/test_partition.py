import pytest
import torch
import torch.distributed as dist
from mmengine.hub import get_config
from mmengine.model import MMSeparateDistributedDataParallel
from partitions.models import build_on_meta
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import (
    checkpoint_wrapper,
)

from agvm_mm import partition_parameters
from agvm_mm.algorithm.modulator import find_anchor
from agvm_mm.algorithm.partition import assign_modules, named_parameters
from tests.toy import ToyDetector

DETECTOR = ['backbone', 'neck', 'rpn_head', 'roi_head.bbox_head']
DETR = ['backbone', 'neck', 'bbox_head', 'encoder', 'decoder']
PANOPTIC = [
    'backbone', 'panoptic_head.pixel_decoder',
    'panoptic_head.transformer_decoder'
]
SEGMENTOR = ['backbone', 'decode_head', 'auxiliary_head']
UPERNET = ['backbone', 'decode_head', 'fpn', 'auxiliary_head']
FASTER_RCNN = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
DINO = 'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py'
MASK2FORMER = 'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py'
UPERNET_R50 = 'mmseg::upernet/upernet_r50_4xb4-160k_ade20k-512x512.py'
# A config of the libraries' own, and the modules that AGVM finds in it.
MODELS_OF_THE_ZOO = {
    FASTER_RCNN:
    DETECTOR,
    'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py':
    [*DETECTOR, 'roi_head.mask_head'],
    'mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py':
    [*DETECTOR, 'roi_head.mask_head'],
    'mmdet::point_rend/point-rend_r50-caffe_fpn_ms-1x_coco.py':
    [*DETECTOR, 'roi_head.mask_head', 'roi_head.point_head'],
    'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py':
    ['backbone', 'neck', 'bbox_head'],
    'mmdet::centernet/centernet_r18_8xb16-crop512-140e_coco.py':
    ['backbone', 'neck', 'bbox_head'],
    'mmdet::panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py':
    [*DETECTOR, 'roi_head.mask_head', 'semantic_head'],
    'mmdet::sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py':
    ['backbone', 'neck', 'roi_head.bbox_head'],
    'mmdet::detr/detr_r50_8xb2-150e_coco.py':
    DETR,
    'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py':
    DETR,
    'mmdet::deformable_detr/'
    'deformable-detr-refine-twostage_r50_16xb2-50e_coco.py':
    DETR,
    'mmdet::dab_detr/dab-detr_r50_8xb2-50e_coco.py':
    DETR,
    'mmdet::ddq/ddq-detr-4scale_r50_8xb2-12e_coco.py':
    DETR,
    DINO:
    DETR,
    MASK2FORMER:
    PANOPTIC,
    'mmdet::maskformer/maskformer_r50_ms-16xb1-75e_coco.py':
    PANOPTIC,
    'mmdet::qdtrack/qdtrack_faster-rcnn_r50_fpn_4e_base.py':
    [*(f'detector.{part}' for part in DETECTOR), 'track_head'],
    'mmseg::sem_fpn/fpn_r50_4xb4-160k_ade20k-512x512.py':
    ['backbone', 'neck', 'decode_head'],
    'mmseg::pspnet/pspnet_r50-d8_4xb4-160k_ade20k-512x512.py':
    SEGMENTOR,
    'mmseg::cgnet/cgnet_fcn_4xb4-60k_cityscapes-680x680.py':
    ['backbone', 'decode_head'],
    UPERNET_R50:
    UPERNET,
    'mmseg::knet/knet-s3_r50-d8_upernet_8xb2-adamw-80k_ade20k-512x512.py':
    UPERNET,
    'mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py': [
        'backbone', 'decode_head.pixel_decoder',
        'decode_head.transformer_decoder'
    ],
}
FPN_OF_UPERNET = [
    f'decode_head.{name}'
    for name in ('psp_modules', 'bottleneck', 'lateral_convs', 'fpn_convs',
                 'fpn_bottleneck')
]


def load(name):
    return build_on_meta(get_config(name))


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
        assert len(names) > 1, 'one tensor has no variance worth a factor'


@pytest.mark.parametrize('name', [FASTER_RCNN, DINO, MASK2FORMER, UPERNET_R50])
def test_no_parameter_moves_when_others_are_frozen(name):
    model = load(name)
    module_of = assign_modules(model)
    assert list(module_of) == [n for n, _ in model.named_parameters()]
    for frozen in ('backbone', 'decoder', 'bbox_head', 'head', 'conv', 'bias'):
        for parameter_name, parameter in model.named_parameters():
            parameter.requires_grad_(frozen not in parameter_name)
        assert assign_modules(model) == module_of
        for module, names in partition_parameters(model).items():
            assert {module_of[name] for name in names} == {module}


def test_loose_parts_join_the_decoder():
    module_of = assign_modules(load(DINO))
    joined = {
        name.split('.')[0]
        for name, module in module_of.items()
        if module == 'decoder' and not name.startswith('decoder.')
    }
    assert joined == {
        'level_embed', 'query_embedding', 'memory_trans_fc',
        'memory_trans_norm', 'dn_query_generator'
    }


def test_learned_proposals_join_the_head_that_reads_them():
    module_of = assign_modules(
        load('mmdet::queryinst/queryinst_r50_fpn_1x_coco.py'))
    proposals = {m for n, m in module_of.items() if n.startswith('rpn_head.')}
    assert proposals == {'roi_head.bbox_head'}


def test_all_but_the_pixel_decoder_is_the_transformer_decoder():
    head = 'panoptic_head'
    for name, module in assign_modules(load(MASK2FORMER)).items():
        if name.startswith(f'{head}.'):
            inside = name.startswith(f'{head}.pixel_decoder.')
            part = 'pixel_decoder' if inside else 'transformer_decoder'
            assert module == f'{head}.{part}'


def test_the_pyramid_of_upernet():
    model = load(UPERNET_R50)
    partition = partition_parameters(model)
    assert partition['decode_head'] == [
        'decode_head.conv_seg.weight', 'decode_head.conv_seg.bias'
    ]
    # As configs name it that were written before it was the default.
    assert partition == partition_parameters(model, dict(fpn=FPN_OF_UPERNET))
    assert list(partition_parameters(model, dict(head='decode_head'))) == [
        'backbone', 'head', 'auxiliary_head'
    ]


def uper_head():
    head = nn.Module()
    head.conv_seg = nn.Linear(2, 2)
    head.fpn_convs = nn.ModuleList([nn.Linear(2, 2)])
    return head


def test_two_pyramids_are_not_one_module():
    model = ToyDetector()
    model.decode_head, model.auxiliary_head = uper_head(), uper_head()
    assert {'decode_head', 'fpn', 'auxiliary_head',
            'auxiliary_head.fpn'} <= set(partition_parameters(model))


def test_frozen_parameters_are_left_out():
    model = load(FASTER_RCNN)
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


def test_loose_parameters_join_a_head_where_there_is_no_decoder():
    model = ToyDetector()
    model.level_embed = nn.Parameter(torch.zeros(4))
    model.query = nn.Embedding(3, 4)
    model.roi_head.temperature = nn.Parameter(torch.zeros(1))
    partition = partition_parameters(model)
    assert list(partition) == [*DETECTOR, 'roi_head.mask_head']
    assert {'level_embed', 'query.weight',
            'roi_head.temperature'} < set(partition['roi_head.bbox_head'])


def test_loose_parameters_without_a_head_stay_alone():
    model = nn.Module()
    model.backbone = nn.Linear(2, 2)
    model.level_embed = nn.Parameter(torch.zeros(4))
    model.roi_head = nn.Linear(2, 2)
    model.grid = nn.Module()
    assert assign_modules(model) == {
        'level_embed': 'level_embed',
        'backbone.weight': 'backbone',
        'backbone.bias': 'backbone',
        'roi_head.weight': 'roi_head',
        'roi_head.bias': 'roi_head'
    }


def test_small_parts_are_modules():
    model = ToyDetector()
    assert list(
        partition_parameters(model)) == [*DETECTOR, 'roi_head.mask_head']
    # Beside a decoder one layer is loose, unless it is named as a part.
    model.decoder = nn.Linear(8, 8)
    model.encoder = nn.Linear(8, 8)
    model.memory_trans_fc = nn.Linear(8, 8)
    model.two_layers = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    partition = partition_parameters(model)
    assert list(partition) == [
        *DETECTOR, 'roi_head.mask_head', 'decoder', 'encoder', 'two_layers'
    ]
    assert 'memory_trans_fc.weight' in partition['decoder']


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


def test_a_detector_in_a_model_is_divided_as_one_alone():
    model = nn.Module()
    model.student, model.teacher = load(DINO), ToyDetector()
    model.teacher.decode_head = uper_head()
    model.scale = nn.Parameter(torch.zeros(1))
    assert list(partition_parameters(model)) == [
        'scale', *(f'student.{part}' for part in DETR),
        *(f'teacher.{part}' for part in DETECTOR),
        'teacher.roi_head.mask_head', 'teacher.decode_head', 'teacher.fpn'
    ]


@pytest.mark.parametrize('trained', [True, False])
def test_a_backbone_of_its_own_leaves_other_detectors_whole(trained):
    model = ToyDetector()
    model.backbone.requires_grad_(requires_grad=trained)
    model.teacher = ToyDetector()
    assert 'teacher' in partition_parameters(model)


def holder(**parts):
    """A model that holds parts, and has nothing of its own."""
    model = nn.Module()
    for name, part in parts.items():
        model.add_module(name, part)
    return model


# As other libraries of OpenMMLab, and models upon them, are built.
WHEREVER_THE_BACKBONE_IS = {
    'a retriever': (holder(
        image_encoder=nn.Sequential(nn.Linear(2, 2), nn.Flatten()),
        head=nn.Linear(2, 2)), ['image_encoder.0', 'head'], 'image_encoder.0'),
    'with a neck': (holder(
        image_encoder=nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)),
        head=nn.Linear(2, 2)), ['image_encoder.0', 'image_encoder.1',
                                'head'], 'image_encoder.0'),
    'a classifier in it':
    (holder(image_encoder=ToyDetector(), head=nn.Linear(2, 2)), [
        *(f'image_encoder.{part}' for part in DETECTOR),
        'image_encoder.roi_head.mask_head', 'head'
    ], 'image_encoder.backbone'),
    'words beside images': (holder(
        image_encoder=nn.Linear(2, 2),
        text_encoder=nn.Linear(2, 2),
        decode_head=nn.Linear(2, 2)),
                            ['image_encoder', 'text_encoder',
                             'decode_head'], 'image_encoder'),
    'a taught retriever': (holder(
        student=holder(
            image_encoder=nn.Sequential(nn.Linear(2, 2)), head=nn.Linear(
                2, 2))), ['student.image_encoder.0',
                          'student.head'], 'student.image_encoder.0'),
    'points': (holder(
        pts_voxel_encoder=nn.Linear(2, 2),
        pts_backbone=nn.Linear(2, 2),
        pts_bbox_head=nn.Linear(2, 2)),
               ['pts_voxel_encoder', 'pts_backbone',
                'pts_bbox_head'], 'pts_backbone'),
    'images': (holder(
        img_backbone=nn.Linear(2, 2),
        img_roi_head=holder(bbox_head=nn.Linear(2, 2))),
               ['img_backbone', 'img_roi_head.bbox_head'], 'img_backbone'),
    'two levels down': (holder(
        wrapper=holder(
            detector=holder(backbone=nn.Linear(2, 2), neck=nn.Linear(2, 2))),
        track_head=nn.Linear(2, 2)), [
            'wrapper.detector.backbone', 'wrapper.detector.neck', 'track_head'
        ], 'wrapper.detector.backbone'),
}


@pytest.mark.parametrize('kind', WHEREVER_THE_BACKBONE_IS)
def test_the_backbone_is_found_wherever_it_is(kind):
    model, modules, anchor = WHEREVER_THE_BACKBONE_IS[kind]
    assert list(partition_parameters(model)) == modules
    assert find_anchor('backbone', modules) == anchor


def test_a_list_of_tokens_is_loose():
    model = ToyDetector()
    model.mask_tokens = nn.ParameterList([torch.zeros(4), torch.zeros(4)])
    partition = partition_parameters(model)
    assert 'mask_tokens' not in partition
    assert 'mask_tokens.1' in partition['roi_head.bbox_head']
    del model.roi_head, model.rpn_head
    assert 'mask_tokens.1' in partition_parameters(model)['neck']


def test_shared_parameters_are_counted_once():
    model = ToyDetector()
    model.aux_head = model.rpn_head
    assert 'aux_head' not in partition_parameters(model)


@pytest.fixture
def one_process():
    dist.init_process_group(
        'gloo', store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def names_of(model):
    return [name for name, _ in named_parameters(model)]


@pytest.mark.usefixtures('one_process')
def test_names_without_separate_ddp():
    plain, model = ToyDetector(), ToyDetector()
    for detector in (plain, model):
        # DDP's name for what it wraps, where no DDP is.
        detector.neck = nn.Module()
        detector.neck.module = nn.Linear(16, 8)
        detector.rpn_head.requires_grad_(requires_grad=False)
    wrapped = MMSeparateDistributedDataParallel(model)
    assert 'neck.module.module.weight' in dict(model.named_parameters())
    assert 'rpn_head.weight' in dict(model.named_parameters())
    assert names_of(model) == names_of(wrapped) == names_of(plain)
    assert partition_parameters(model) == partition_parameters(plain)
    assert [p for _, p in named_parameters(model)] == list(model.parameters())


def test_names_without_checkpointing_and_compile():
    model = ToyDetector()
    model.backbone[0] = torch.compile(checkpoint_wrapper(model.backbone[0]))
    model.roi_head.bbox_head = checkpoint_wrapper(model.roi_head.bbox_head)
    model.roi_head = checkpoint_wrapper(model.roi_head)
    assert 'backbone.0._orig_mod._checkpoint_wrapped_module.weight' in dict(
        model.named_parameters())
    assert names_of(model) == names_of(ToyDetector())
    assert partition_parameters(model) == partition_parameters(ToyDetector())


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


def test_a_prefix_of_frozen_parameters():
    model = ToyDetector()
    model.neck.requires_grad_(requires_grad=False)
    modules = dict(fpn='neck')
    assert assign_modules(model, modules)['neck.weight'] == 'fpn'
    with pytest.raises(ValueError, match="'neck' fits no trainable parameter"):
        partition_parameters(model, modules)
