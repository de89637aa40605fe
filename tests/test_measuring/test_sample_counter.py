import copy
import pickle

import pytest
import torch
from mmengine.hub import get_config
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import BaseDataElement

from agvm_mm.measuring.sample_counter import SampleCounter, count_samples
from tests.toy import ToyDetector


@pytest.fixture(name='counted')
def _counted():
    model, counter = ToyDetector(), SampleCounter()
    for _ in range(3):
        counter.attach(model)  # once is enough
    return model, counter


@pytest.mark.parametrize(
    'call', [
        lambda model, x: model(x),
        lambda model, x: model(inputs=x),
        lambda model, x: model(x, data_samples=list(x)),
    ],
    ids=['positional', 'inputs', 'data_samples'])
def test_it_counts_one_forward_pass(counted, call):
    model, counter = counted
    call(model, torch.zeros(5, 6))
    assert counter.take() == 0
    counter.start()
    call(model, torch.zeros(5, 6))
    call(model, torch.zeros(2, 6))
    counter.stop()
    call(model, torch.zeros(2, 6))
    assert counter.take() == 5
    assert counter.take() == 0


def test_only_what_is_called_for_a_loss_counts(counted):
    model, counter = counted
    counter.start()
    model(torch.zeros(2, 6), mode='predict')
    model(torch.zeros(5, 6), torch.zeros(5, 1), mode='loss')
    assert counter.take() == 5


def test_a_forward_pass_without_a_backward_pass_is_forgotten(counted):
    model, counter = counted
    for size in (5, 3):
        counter.start()
        model(torch.zeros(size, 6))
        counter.stop()
    assert counter.take() == 3


def test_what_has_no_length_counts_nothing():

    class Model(torch.nn.Module):

        def forward(self, inputs):
            return inputs

    model, counter = Model(), SampleCounter()
    counter.attach(model)
    counter.start()
    model(3.0)
    assert counter.take() == 0


@pytest.mark.parametrize(
    'copied', [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))],
    ids=['deepcopy', 'pickle'])
def test_a_copy_of_the_model_counts_nothing(counted, copied):
    model, counter = counted
    counter.start()
    other = copied(model)
    other(torch.zeros(5, 6))
    assert counter.take() == 0
    model(torch.zeros(5, 6))
    assert counter.take() == 5


IMAGE = torch.zeros(3, 8, 8)


def branch(*names, **options):
    return [
        BaseDataElement(metainfo=dict(img_path=name, **options))
        for name in names
    ]


@pytest.mark.parametrize(
    ('samples', 'arguments'),
    [
        (2, dict(inputs=[IMAGE, IMAGE])),
        (2, dict(inputs=torch.stack([IMAGE, IMAGE]))),
        (5, dict(inputs=torch.zeros(5, 8, 3, 8, 8))),  # videos
        (5, dict(img=torch.zeros(5, 3, 8, 8), gt_label=torch.zeros(5))),
        # mmdet3d: points and images of the same scenes
        (2, dict(inputs=dict(points=[torch.zeros(9, 4)] * 2,
                             imgs=torch.zeros(2, 3, 8, 8)))),
        (2, dict(inputs=dict(points=[torch.zeros(9, 4)] * 3, imgs=None),
                 data_samples=[1, 2])),
        # Two views, with data samples and without.
        (7, dict(inputs=[torch.zeros(7, 3, 8, 8)] * 2)),
        (7, dict(inputs=[[IMAGE] * 7] * 2)),
        (7, dict(inputs=[torch.zeros(7, 3, 8, 8)] * 2,
                 data_samples=list(range(7)))),
        # mmdet's SoftTeacher: two views of what has no labels.
        (3, dict(inputs=dict(sup=torch.zeros(1, 3, 8, 8),
                             unsup_teacher=torch.zeros(2, 3, 8, 8),
                             unsup_student=torch.zeros(2, 3, 8, 8)),
                 data_samples=dict(sup=branch('a'),
                                   unsup_teacher=branch('b', 'c'),
                                   unsup_student=branch('b', 'c')))),
        # One image that is drawn twice is two samples of its branch.
        (3, dict(data_samples=dict(sup=branch('a', 'a'),
                                   unsup_teacher=branch('b'),
                                   unsup_student=branch('b')))),
        (2, dict(data_samples=dict(
            one=[BaseDataElement(metainfo=dict(img_id=7))],
            other=[BaseDataElement(metainfo=dict(img_id=8))]))),
    ])
def test_images_are_counted_not_views_or_modalities(samples, arguments):
    assert count_samples((), arguments) == samples
    inputs = arguments.get('inputs')
    if isinstance(inputs, (list, torch.Tensor)):
        assert count_samples([inputs], {}) == samples


def test_batches_of_several_sources_add_up():
    """As mmaction2's omni-sourced recognizers are called."""
    videos = dict(inputs=torch.zeros(2, 3, 4, 8, 8), data_samples=[1, 2])
    images = dict(inputs=torch.zeros(5, 3, 8, 8), data_samples=[1] * 5)
    assert count_samples([videos, images], dict(mode='loss')) == 7
    assert count_samples([videos], dict(mode='loss')) == 2
    assert count_samples([videos, dict(inputs=None)], {}) == 0


@pytest.mark.parametrize('arguments', [
    {},
    dict(inputs=None),
    dict(inputs='image.jpg'),
    dict(inputs=torch.tensor(3.0)),
    dict(inputs=dict(a=[1, 2], b=[1, 2, 3])),
    dict(inputs=[torch.zeros(7, 3, 8, 8), torch.zeros(5, 3, 8, 8)]),
    dict(data_samples=dict(sup=[object()], unsup=[object()])),
    dict(data_samples=dict(sup=7), inputs=[IMAGE]),
])
def test_what_cannot_be_counted_is_not_guessed(arguments):
    assert count_samples((), arguments) == 0


class CountedError(Exception):
    """Ends the forward pass, whose result nobody needs."""


def test_mmdets_soft_teacher():
    """Its own model and preprocessor: one labelled image, two without."""
    structures = pytest.importorskip('mmdet.structures')
    cfg = get_config(
        'mmdet::soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_'
        'semi-0.1-coco.py')
    init_default_scope('mmdet')
    cfg.model.detector.backbone.init_cfg = None
    model, counter = MODELS.build(cfg.model), SampleCounter()
    counter.attach(model)

    def collated(*paths):
        images = [torch.zeros(3, 32, 32, dtype=torch.uint8) for _ in paths]
        samples = [
            structures.DetDataSample(
                metainfo=dict(img_path=path, img_shape=(32, 32)))
            for path in paths
        ]
        return images, samples

    branches = dict(
        sup=collated('a.jpg', None, None),
        unsup_teacher=collated(None, 'b.jpg', 'c.jpg'),
        unsup_student=collated(None, 'b.jpg', 'c.jpg'))
    data = dict(inputs={}, data_samples={})
    for name, (images, samples) in branches.items():
        # As mmdet's MultiBranch leaves the branches that a sample is not of.
        kept = [s.metainfo['img_path'] is not None for s in samples]
        data['inputs'][name] = [i if k else None for i, k in zip(images, kept)]
        data['data_samples'][name] = [
            s if k else None for s, k in zip(samples, kept)
        ]
    data = model.data_preprocessor(data, True)

    def stop(*args, **kwargs):
        raise CountedError

    model.loss = stop
    counter.start()
    with pytest.raises(CountedError):
        model(**data, mode='loss')
    assert counter.take() == 3
