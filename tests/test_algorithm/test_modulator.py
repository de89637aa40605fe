import math

import pytest
import torch

from agvm_mm.algorithm.modulator import Modulator, find_anchor, scaled_lr

MODULES = ['neck', 'backbone', 'head']


def modulator(momentum=0.9, ratio_range=(0.5, 10.0), anchor='backbone'):
    return Modulator(
        MODULES, anchor=anchor, momentum=momentum, ratio_range=ratio_range)


def phi(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_starts_at_one():
    assert modulator().lr_scale == dict(neck=1, backbone=1, head=1)


def test_formula():
    m = modulator()
    m.update(phi(0.2, 0.4, 0.6))
    neck = 0.9 + 0.1 * math.sqrt((0.4 + 1e-6) / (0.2 + 1e-6))
    head = 0.9 + 0.1 * math.sqrt((0.4 + 1e-6) / (0.6 + 1e-6))
    assert m.lr_scale == pytest.approx(dict(neck=neck, backbone=1, head=head))
    m.update(phi(0.4, 0.4, 0.4))
    assert m.lr_scale['neck'] == pytest.approx(0.9 * neck + 0.1)


@pytest.mark.parametrize('momentum', [0.0, 0.1, 0.97, 0.999])
def test_anchor_stays_one_to_the_bit(momentum):
    m = modulator(momentum)
    for i in range(100):
        m.update(phi(0.2, 0.1 + 0.01 * i, 0.6))
    assert m.lr_scale['backbone'] == 1.0


def test_ratio_is_clipped_before_the_root():
    m = modulator(momentum=0.0)
    m.update(phi(1e-9, 1.0, 1e9))
    assert m.lr_scale == pytest.approx(
        dict(neck=math.sqrt(10), backbone=1, head=math.sqrt(0.5)))


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_a_module_without_variance_keeps_its_factor(bad):
    m = modulator()
    m.update(phi(0.2, 0.4, 0.6))
    before = m.lr_scale
    m.update(phi(bad, 0.4, 0.6))
    assert m.lr_scale['neck'] == before['neck']
    assert m.lr_scale['head'] != before['head']
    before = m.lr_scale
    m.update(phi(0.2, bad, 0.6))
    assert m.lr_scale == before


def test_state_goes_by_name():
    m = modulator()
    m.update(phi(0.2, 0.4, 0.6))
    other = Modulator(['head', 'backbone', 'new'],
                      anchor='backbone',
                      momentum=0.9,
                      ratio_range=(0.5, 10.0))
    other.load_state_dict(m.state_dict())
    assert other.lr_scale == dict(head=m.lr_scale['head'], backbone=1, new=1)


def test_factors_of_another_anchor_become_those_of_this_one():
    m = Modulator(['backbone', 'neck', 'head'],
                  anchor='head',
                  momentum=0.9,
                  ratio_range=(0.5, 10.0))
    m.load_state_dict(dict(backbone=1.0, neck=1.5, head=2.0))
    assert m.lr_scale == dict(backbone=0.5, neck=0.75, head=1.0)


def test_unknown_anchor():
    with pytest.raises(
            ValueError,
            match=r"agvm.anchor='bakbone' .*Modules: "
            'neck, backbone, head'):
        modulator(anchor='bakbone')


def test_an_anchor_may_be_the_last_part_of_a_name():
    nested = ['student.backbone', 'student.neck', 'head']
    assert find_anchor('backbone', nested) == 'student.backbone'
    assert find_anchor('backbone', ['a.backbone', 'backbone']) == 'backbone'
    with pytest.raises(
            ValueError,
            match=r"anchor='backbone' means several modules: a\.backbone, "
            r'b\.backbone\. Set it to one'):
        find_anchor('backbone', ['a.backbone', 'b.backbone', 'neck'])


@pytest.mark.parametrize(('modules', 'message'), [
    (['pts_backbone', 'img_backbone'], 'several modules: pts_b.*, img_b'),
    (['student.image_encoder', 'teacher.image_encoder'], 'several modules'),
    (['image_encoder.1', 'head'], 'is no module with trainable'),
    (['text_encoder', 'mybackbone', 'encoder', 'head'], 'is no module'),
])
def test_no_anchor_is_guessed(modules, message):
    with pytest.raises(ValueError, match=message):
        find_anchor('backbone', modules)


@pytest.mark.parametrize('fails', [True, False])
def test_scaled_lr_returns_the_same_float(fails):
    tensor = torch.tensor(0.1)
    groups = [dict(lr=0.1, module='a'), dict(lr=tensor, module='b')]
    factors = dict(a=1 / 3, b=1 / 7)
    try:
        with scaled_lr(groups, factors):
            assert groups[0]['lr'] == 0.1 * factors['a']
            assert groups[1]['lr'] is tensor
            assert tensor == torch.tensor(0.1) * factors['b']
            if fails:
                raise RuntimeError
    except RuntimeError:
        pass
    assert groups[0]['lr'] == 0.1
    assert groups[1]['lr'] is tensor
    assert tensor == torch.tensor(0.1)


def test_the_epsilon_of_tiny_variances():
    found = modulator(momentum=0.0)
    found.update(phi(0.0, 0.0, 1e-6))
    assert found.lr_scale == pytest.approx(
        dict(neck=1, backbone=1, head=math.sqrt(0.5)), rel=1e-12)
