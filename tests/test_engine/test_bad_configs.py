"""A bad config ends in one error, before training, that tells the mend.

The runner is MMEngine's own, the model a toy; what a message must name is the
field, the value and what is allowed or what to do.
"""
import copy

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import Runner

from agvm_mm.large_batch import resolve
from tests.toy import ToyDetector

GOOD = dict(
    model=dict(type='CountingToy'),
    train_dataloader=dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate'),
        dataset=dict(type='ToySamples')),
    train_cfg=dict(type='IterBasedTrainLoop', max_iters=8),
    optim_wrapper=dict(
        type='AGVMOptimWrapper',
        constructor='AGVMOptimWrapperConstructor',
        optimizer=dict(type='SGD', lr=0.01),
        agvm=dict(begin=1, interval=1)),
    param_scheduler=[
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=2)
    ],
    total_batch_size=4,
    max_samples_per_gpu=2)
DELETE = '<left out>'

AGVM = [
    ('agvm', [1], r'optim_wrapper\.agvm .*dict.*agvm=dict\(.*got \[1\]'),
    ('agvm', DELETE, r'optim_wrapper\.agvm .*dict.*agvm=dict\(.*got None'),
    ('agvm.begin', -1, r'agvm\.begin=-1 .*int >= 0'),
    ('agvm.begin', 560.0, r'agvm\.begin=560\.0 .*int >= 0'),
    ('agvm.begin', '560', r"agvm\.begin='560' .*int >= 0"),
    ('agvm.begin', True, r'agvm\.begin=True .*int >= 0'),
    ('agvm.end', 1.5, r'agvm\.end=1\.5 .*None or an int'),
    ('agvm.end', -3, r'agvm\.end=-3 .*None or an int'),
    ('agvm.interval', 0, r'agvm\.interval=0 .*int >= 1'),
    ('agvm.interval', '10', r"agvm\.interval='10' .*int >= 1"),
    ('agvm.momentum', 1, r'agvm\.momentum=1 .*\[0, 1\)'),
    ('agvm.momentum', None, r'agvm\.momentum=None .*\[0, 1\)'),
    ('agvm.momentum', float('nan'), r'agvm\.momentum=nan .*\[0, 1\)'),
    ('agvm.ratio_range', (10, 0.5), r'agvm\.ratio_range=\(10, 0\.5\) .*low'),
    ('agvm.ratio_range', 10, r'agvm\.ratio_range=10 .*low <= high'),
    ('agvm.ratio_range', (0, 1), r'agvm\.ratio_range=\(0, 1\) .*0 < low'),
    ('agvm.ratio_range', ('a', 'b'), r"agvm\.ratio_range=\('a', 'b'\) .*low"),
    ('agvm.anchor', 7, r"agvm\.anchor=7 .*a module's name"),
    ('agvm.anchor', 'bakbone', r"agvm\.anchor='bakbone' .*Modules: backbone"),
    ('agvm.anchor', 'roi_head', r"agvm\.anchor='roi_head' .*Modules: backb"),
    ('agvm.estimator', 'replicas', r"agvm\.estimator='replicas' .*one of .*'"),
    ('agvm.estimator', None, r'agvm\.estimator=None .*one of .*half_batch'),
    ('agvm.modules', ['neck'], r"agvm\.modules .*dict.*got \['neck'\]"),
    ('agvm.modules', dict(a=1), r"agvm\.modules .*dict.*got \{'a': 1\}"),
    ('agvm.modules', dict(a='nek'), r"'nek' fits no .*Prefixes .*neck"),
    ('agvm.modules', dict(a='neck', b='neck'), r"'neck' is named twice"),
    ('agvm.modules', dict(a='neck', b=['neck.weight', 'neck.bias']),
     r"agvm\.modules\['a'\] is left without"),
    ('agvm.base_constructor', 'Missing',
     r"agvm\.base_constructor='Missing' .*custom_imports"),
    ('agvm.base_constructor', 3, r'agvm\.base_constructor=3 .*custom_imp'),
    ('agvm.intervall', 5, r"agvm\.intervall .*did you mean 'interval'"),
    ('agvm.ratio_rang', (1, 2), r"agvm\.ratio_rang .*mean 'ratio_range'"),
    ('agvm.lr', 0.1, r'agvm\.lr is no option .*begin, end, interval'),
    ('constructor', DELETE, r"set constructor='AGVMOptimWrapperConstructor'"),
    ('constructor', 'DefaultOptimWrapperConstructor',
     r"set constructor='AGVMOptimWrapperConstructor'"),
    ('type', 'OptimWrapper', r"optim_wrapper\.type='OptimWrapper' .*AGVMOpt"),
    ('optimizer', DELETE, r'optim_wrapper\.optimizer .*got None'),
    ('optimizer', 'SGD', r"optim_wrapper\.optimizer .*dict.* got 'SGD'"),
    ('optimizer.lr', 'abc', r"optimizer={.*'lr': 'abc'.* built: TypeErr"),
    ('optimizer.lr', -1, r"optimizer={.*'lr': -1.* built: .*Invalid lea"),
    ('paramwise_cfg', 3, 'paramwise_cfg=3 cannot be built: .* None or a dict'),
    ('clip_grad_range', (4, 2), r'clip_grad_range=\(4, 2\) .*first < last'),
    ('clip_grad_range', (2, 4), r'clip_grad_range=\(2, 4\) .*set clip_grad'),
    ('clip_grad', dict(max_nrom=35), r"clip_grad={'max_nrom'.*max_norm"),
    ('clip_grad', dict(norm_type=2),
     'clip_grad_norm_ of torch takes max_norm'),
    ('clip_grad', dict(type='value', max_norm=1),
     'clip_grad_value_ of torch takes clip_value'),
    ('clip_grad', dict(type='norms', max_norm=1), "be 'norm' or 'value'"),
    ('clip_grad', 35, 'clip_grad=35 must be a dict'),
    ('clip_grad', {}, 'clip_grad={}: missing'),
]
BATCH = [
    ('total_batch_size', 0, r'total_batch_size=0 must be an int >= 1'),
    ('total_batch_size', 1.5, r'total_batch_size=1\.5 must be an int'),
    ('total_batch_size', '512', r"total_batch_size='512' must be an int"),
    ('total_batch_size', 1, r'total_batch_size=1 .*nearest possible is 2'),
    ('total_batch_size', DELETE, r'total_batch_size is not set: add'),
    ('train_cfg.max_iters', 0, r'train_cfg\.max_iters=0 must be an int'),
    ('train_cfg.val_interval', 0, r'train_cfg\.val_interval=0 must be an int'),
    ('max_samples_per_gpu', 0, r'max_samples_per_gpu=0 must be an int'),
    ('max_samples_per_gpu', '8', r"max_samples_per_gpu='8' must be an int"),
    ('train_cfg.max_iters', None, r'train_cfg\.max_iters=None must be an int'),
    ('train_cfg.max_iters', '8', r"train_cfg\.max_iters='8' must be an int"),
    ('train_cfg.max_iters', 4.5, r'train_cfg\.max_iters=4\.5 must be an int'),
    ('optim_wrapper.accumulative_counts', 2,
     r'accumulative_counts=2 beside total_batch_size=4: leave it out'),
    ('param_scheduler',
     [dict(type='LinearLR', convert_to_iter_based=True, end=1)
      ], r'param_scheduler\[0\]\.convert_to_iter_based .*begin and end'),
]


@MODELS.register_module()
class CountingToy(ToyDetector):
    """Counts its forward passes."""

    calls = 0

    def forward(self, *args, **kwargs):
        type(self).calls += 1
        return super().forward(*args, **kwargs)


@DATASETS.register_module()
class ToySamples(torch.utils.data.Dataset):
    """Eight samples."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        return dict(
            inputs=torch.randn(6, generator=generator),
            data_samples=torch.randn(10, generator=generator))


def config(tmp_path, key=None, value=None):
    cfg = Config(copy.deepcopy(GOOD))
    cfg.work_dir = str(tmp_path)
    if key is not None:
        *path, last = key.split('.')
        node = cfg
        for name in path:
            node = node[name]
        if value is DELETE:
            node.pop(last)
        else:
            node[last] = value
    return cfg


def run(cfg, name):
    CountingToy.calls = 0
    cfg.experiment_name = name.replace('/', '-')
    cfg.visualizer = ConfigDict(type='Visualizer', name=cfg.experiment_name)
    Runner.from_cfg(cfg).train()


def test_the_good_config_trains(request, tmp_path):
    run(resolve(config(tmp_path), 1), request.node.name)
    assert CountingToy.calls == 16  # 8 updates of two micro-batches


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    AGVM,
    ids=[f'{key}={value!r}'[:40] for key, value, _ in AGVM])
def test_bad_optim_wrapper(request, tmp_path, key, value, message):
    cfg = resolve(config(tmp_path), 1)
    bad = config(tmp_path, f'optim_wrapper.{key}', value).optim_wrapper
    bad.accumulative_counts = cfg.optim_wrapper.accumulative_counts
    cfg.optim_wrapper = bad
    with pytest.raises(ValueError, match=message):
        run(cfg, request.node.name)
    assert CountingToy.calls == 0


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    BATCH,
    ids=[f'{key}={value!r}'[:40] for key, value, _ in BATCH])
def test_bad_batch(tmp_path, key, value, message):
    with pytest.raises(ValueError, match=message):
        resolve(config(tmp_path, key, value), 1)


@pytest.mark.parametrize('value', [0, -1, 1.5, '2'])
def test_bad_accumulation_without_a_total(request, tmp_path, value):
    cfg = config(tmp_path, 'optim_wrapper.accumulative_counts', value)
    with pytest.raises(
            ValueError,
            match=r'optim_wrapper\.accumulative_counts=.*int >= 1'):
        run(cfg, request.node.name)
    assert CountingToy.calls == 0


def test_a_single_replica(request, tmp_path):
    with pytest.raises(
            ValueError, match=r'accumulative_counts=1 .*Either launch two'):
        run(config(tmp_path), request.node.name)
    assert CountingToy.calls == 0


def test_an_anchor_that_is_frozen(request, tmp_path, monkeypatch):
    cfg = resolve(config(tmp_path), 1)
    initialise = CountingToy.__init__

    def frozen(self, *args, **kwargs):
        initialise(self, *args, **kwargs)
        self.backbone.requires_grad_(requires_grad=False)

    monkeypatch.setattr(CountingToy, '__init__', frozen)
    with pytest.raises(
            ValueError, match=r"agvm\.anchor='backbone' .*Modules: neck"):
        run(cfg, request.node.name)
    assert CountingToy.calls == 0
