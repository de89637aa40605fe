import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.optim import DefaultOptimWrapperConstructor, build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from agvm_mm import AGVMAmpOptimWrapper, AGVMOptimWrapper
from agvm_mm.engine import constructor
from tests.stack import LEAVES_OUT
from tests.toy import ToyDetector, build_wrapper


def settings_by_parameter(model, optimizer):
    name_of = {p: n for n, p in model.named_parameters()}
    return {
        name_of[p]: {
            k: group[k]
            for k in ('lr', 'weight_decay', 'momentum')
        }
        for group in optimizer.param_groups
        for p in group['params']
    }


def test_one_group_a_module():
    model = ToyDetector()
    wrapper = build_wrapper(model, begin=0)
    assert isinstance(wrapper, AGVMOptimWrapper)
    groups = wrapper.optimizer.param_groups
    assert [g['module'] for g in groups] == [
        'backbone', 'neck', 'rpn_head', 'roi_head.bbox_head',
        'roi_head.mask_head'
    ]
    for group, names in zip(groups, wrapper.groups.layout()):
        assert names == [
            n for n, p in model.named_parameters()
            if any(p is q for q in group['params'])
        ]
        assert all(n.startswith(group['module']) for n in names)
        assert 'param_names' not in group  # torch's own key


PARAMWISE = dict(
    bias_lr_mult=2.0,
    bias_decay_mult=0.0,
    custom_keys={
        'neck': dict(lr_mult=0.1, decay_mult=0.5),
        'backbone.2': dict(lr_mult=1.0)
    })


def test_paramwise_cfg_means_what_it_always_means():
    model = ToyDetector()
    ours = build_wrapper(model, begin=0, paramwise_cfg=PARAMWISE).optimizer
    plain = build_wrapper(
        model, type='OptimWrapper', paramwise_cfg=PARAMWISE).optimizer
    assert settings_by_parameter(model,
                                 ours) == settings_by_parameter(model, plain)
    assert len(plain.param_groups) == len(list(model.parameters()))


def test_groups_are_merged_by_module_and_options():
    model = ToyDetector()
    wrapper = build_wrapper(model, begin=0, paramwise_cfg=PARAMWISE)
    groups = zip(wrapper.optimizer.param_groups, wrapper.groups.layout())
    # backbone and the heads: weights and biases; neck: its custom key for all.
    # backbone.2 has a custom key too, which MMEngine leaves in its groups.
    assert [(g['module'], names) for g, names in groups] == [
        ('backbone', ['backbone.0.weight']),
        ('backbone', ['backbone.0.bias']),
        ('backbone', ['backbone.2.weight', 'backbone.2.bias']),
        ('neck', ['neck.weight', 'neck.bias']),
        ('rpn_head', ['rpn_head.weight']),
        ('rpn_head', ['rpn_head.bias']),
        ('roi_head.bbox_head', ['roi_head.bbox_head.weight']),
        ('roi_head.bbox_head', ['roi_head.bbox_head.bias']),
        ('roi_head.mask_head', ['roi_head.mask_head.weight']),
        ('roi_head.mask_head', ['roi_head.mask_head.bias']),
    ]


def frozen_model():
    model = ToyDetector()
    model.backbone[0].requires_grad_(False)
    return model


@pytest.mark.parametrize('paramwise_cfg', [None, PARAMWISE])
def test_frozen_parameters_are_kept_as_mmengine_keeps_them(
        paramwise_cfg, warnings):
    kept = []
    for type_ in ('AGVMOptimWrapper', 'OptimWrapper'):
        model = frozen_model()
        optimizer = build_wrapper(
            model, type=type_, paramwise_cfg=paramwise_cfg).optimizer
        tensors = {id(p) for g in optimizer.param_groups for p in g['params']}
        kept.append([n for n, p in model.named_parameters()
                     if id(p) in tensors])  # yapf: disable
    assert kept[0] == kept[1]
    left_out = paramwise_cfg is not None and LEAVES_OUT
    assert ('backbone.0.weight' not in kept[0]) == left_out


def test_swin_of_207_groups_becomes_8():
    cfg = get_config('mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py')
    init_default_scope('mmdet')
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model)
    plain = build_optim_wrapper(model, cfg.optim_wrapper)
    cfg.optim_wrapper.update(
        type='AGVMOptimWrapper',
        constructor='AGVMOptimWrapperConstructor',
        agvm=dict(begin=0))
    ours = build_optim_wrapper(model, cfg.optim_wrapper)
    assert len(plain.optimizer.param_groups) > 200
    # Two for the backbone, with and without decay, and one for each other.
    assert len(ours.optimizer.param_groups) == 6
    for a, b in zip(*(sorted((id(p), g['lr'], g['weight_decay'])
                             for g in w.optimizer.param_groups
                             for p in g['params']) for w in (plain, ours))):
        assert a == b


def test_base_constructor_of_mmdet():
    # mmdet's constructor, by which the learning rate decays layer by layer;
    # it knows a backbone by its class's name.
    init_default_scope('mmdet')

    class ConvNeXt(nn.Module):
        depths = (3, 3, 9, 3)

        def __init__(self):
            super().__init__()
            self.downsample_layers = nn.ModuleList(
                nn.Linear(4, 4) for _ in range(4))
            self.stages = nn.ModuleList(
                nn.ModuleList(nn.Linear(4, 4) for _ in range(d))
                for d in self.depths)

    model = nn.Module()
    model.backbone = ConvNeXt()
    model.neck = nn.Linear(4, 4)
    wrapper_cfg = dict(
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.05),
        constructor='LearningRateDecayOptimizerConstructor',
        paramwise_cfg=dict(
            decay_rate=0.7, decay_type='layer_wise', num_layers=6))
    plain = build_optim_wrapper(model, wrapper_cfg)
    base = wrapper_cfg.pop('constructor')
    ours = build_optim_wrapper(
        model,
        dict(
            wrapper_cfg,
            type='AGVMOptimWrapper',
            constructor='AGVMOptimWrapperConstructor',
            agvm=dict(begin=0, base_constructor=base)))
    lrs = [{
        id(p): g['lr']
        for g in w.optimizer.param_groups
        for p in g['params']
    } for w in (plain, ours)]
    assert lrs[0] == lrs[1]
    assert len(set(lrs[1].values())) > 5


def test_a_base_constructor_may_be_a_class():
    wrapper = build(
        agvm=dict(begin=0, base_constructor=DefaultOptimWrapperConstructor))
    assert wrapper.optimizer.param_groups[0]['module'] == 'backbone'


class HandsOn(AGVMOptimWrapper):
    """As a user writes a subclass, with an option of its own."""

    def __init__(self, optimizer, mine=1, **kwargs):
        super().__init__(optimizer, **kwargs)
        self.mine = mine


def test_a_subclass_need_not_name_what_it_hands_on():
    wrapper = build(type=HandsOn, mine=2)
    assert (wrapper.mine, wrapper.clock.begin) == (2, 0)


class AddsAParameter(DefaultOptimWrapperConstructor):

    def __call__(self, model):
        wrapper = super().__call__(model)
        weight = nn.Parameter(torch.zeros(3))
        wrapper.optimizer.add_param_group(dict(params=[weight]))
        return wrapper


def test_a_parameter_of_no_model_is_refused():
    with pytest.raises(
            ValueError, match=r'shape \(3,\) .*none of the model'):
        build(agvm=dict(begin=0, base_constructor=AddsAParameter))


def test_ddp_wrapped_model_is_unwrapped():
    model = ToyDetector()
    wrapped = nn.parallel.DataParallel(model)
    optimizer = build_wrapper(wrapped, begin=0).optimizer
    assert optimizer.param_groups[0]['module'] == 'backbone'


def build(model=None, **changes):
    cfg = dict(
        type='AGVMOptimWrapper',
        constructor='AGVMOptimWrapperConstructor',
        optimizer=dict(type='SGD', lr=0.1),
        agvm=dict(begin=0))
    cfg.update(changes)
    cfg = {k: v for k, v in cfg.items() if v is not None}
    return build_optim_wrapper(model or ToyDetector(), cfg)


@pytest.mark.parametrize(('changes', 'message'), [
    (dict(constructor=None), "set constructor='AGVMOptimWrapperConstructor'"),
    (dict(agvm=None), 'optim_wrapper.agvm must be a dict'),
    (dict(agvm=dict(begin=0, anchor='bakbone')), "agvm.anchor='bakbone'"),
    (dict(agvm=dict(begin=0, modules=dict(a='nck'))), "prefix 'nck' fits no"),
    (dict(agvm=dict(begin=0, estimator='foo')),
     r"agvm.estimator='foo' is not .*one of \('replica', 'half_batch'\)"),
    (dict(agvm=dict(begin=0, base_constructor='Foo')),
     "agvm.base_constructor='Foo' is not a registered"),
    (dict(agvm=dict(begin=0, base_constructor=3)), 'agvm.base_constructor=3'),
    (dict(agvm=dict(begin=0, interval=0)), 'agvm.interval=0'),
    (dict(clip_grad_range=(0, 5)), 'without clip_grad'),
])
def test_bad_configs(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)


def test_frozen_anchor():
    model = ToyDetector()
    model.backbone.requires_grad_(False)
    with pytest.raises(
            ValueError,
            match=r"agvm.anchor='backbone' is no module with "
            r'trainable .*\. Modules: neck, rpn_head'):
        build(model)


def test_amp_needs_the_device_that_mmengine_asks_for():
    if torch.cuda.is_available():
        assert isinstance(
            build(type='AGVMAmpOptimWrapper'), AGVMAmpOptimWrapper)
    else:
        with pytest.raises(AssertionError, match='only available training'):
            build(type='AGVMAmpOptimWrapper')


@pytest.mark.parametrize(('key', 'mend'), [
    ('avgm', r'did you mean agvm\?'),
    ('acumulative_counts', r'did you mean accumulative_counts\?'),
    ('clip_gradient', r'did you mean clip_grad\?'),
    ('zzz', 'leave it out'),
])
@pytest.mark.parametrize('kind', ['AGVMOptimWrapper', 'AGVMAmpOptimWrapper'])
def test_a_setting_that_is_spelt_wrong(kind, key, mend):
    cfg = dict(
        type=kind,
        constructor='AGVMOptimWrapperConstructor',
        optimizer=dict(type='SGD', lr=0.1),
        **{key: {}})
    with pytest.raises(ValueError, match=f'optim_wrapper.{key} is .*{mend}'):
        build_optim_wrapper(ToyDetector(), cfg)


def test_a_config_upon_a_library_s_own(tmp_path):
    """MMEngine marks what it takes from there with a key, ``_scope_``."""
    config = tmp_path / 'config.py'
    config.write_text("""
_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
optim_wrapper = dict(
    type='AGVMOptimWrapper',
    constructor='AGVMOptimWrapperConstructor',
    agvm=dict(begin=0))
""")
    init_default_scope('mmengine')
    cfg = Config.fromfile(config).optim_wrapper
    assert cfg['_scope_'] == 'mmdet'
    assert build_optim_wrapper(ToyDetector(), cfg).modulator


@pytest.mark.parametrize(('frozen', 'end'), [(True, None), (True, 0),
                                             (False, None)])
def test_an_anchor_of_which_hardly_anything_trains(frozen, end, monkeypatch):
    """As SAN's image encoder, of which a single tensor does."""
    told = []
    monkeypatch.setattr(
        constructor, 'print_log', lambda message, **kwargs: told.append(
            message))
    model = nn.Module()
    model.image_encoder = nn.Module()
    model.image_encoder.pos_embed = nn.Parameter(torch.zeros(1, 5, 4))
    model.image_encoder.blocks = nn.Linear(100, 100)
    model.image_encoder.blocks.requires_grad_(not frozen)
    model.decode_head = nn.Linear(4, 4)
    constructor.AGVMOptimWrapperConstructor(
        dict(
            type='AGVMOptimWrapper',
            agvm=dict(begin=0, end=end),
            accumulative_counts=2,
            optimizer=dict(type='SGD', lr=0.1)))(model)
    text = ('The anchor, image_encoder, trains 20 of its 10,120 numbers '
            '(image_encoder.pos_embed, ...)')
    assert [one.startswith(text) for one in told] == [True] * (
        frozen and end is None)
