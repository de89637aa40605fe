"""What plan.py says of memory is what torch holds."""
import inspect
import re

import pytest
import torch
from command_line.configs import load_config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from partitions.models import build_on_meta
from plans import memory
from plans.memory import OF_GPU, OF_MICRO_BATCH, describe_memory
from torch import nn

from agvm_mm.large_batch.plan import make_plan
from tests.commands import FASTER, SEMANTIC

FIELDS = r'(\w[\w\' ]*?) ([\d.,]+)(?:,|$)'


def described(gpus=2, config=FASTER, **options):
    cfg = load_config(str(config), dict(num_train_images=64, **options))
    return dict(describe_memory(cfg, make_plan(cfg, gpus)))


def parts(line):
    return dict(re.findall(FIELDS, line.split(': ', 1)[1]))


def test_the_parts_of_a_gpu():
    line = described()[OF_GPU]
    assert parts(line) == {
        'weights': '15', 'gradients': '15', "DDP's copy of them": '15',
        "SGD's state": '15', 'AGVM': '0'
    }  # yapf: disable
    assert line.startswith('59 MiB: ')


@pytest.mark.parametrize(('options', 'changed'), [
    ({'optim_wrapper.agvm.estimator': 'half_batch'}, dict(AGVM='15')),
    ({'model_wrapper_cfg.gradient_as_bucket_view': True},
     {"DDP's copy of them": None}),
    ({'optim_wrapper.type': 'AGVMAmpOptimWrapper',
      'optim_wrapper.loss_scale': 'dynamic'}, {}),
    ({'optim_wrapper.optimizer': dict(_delete_=True, type='AdamW', lr=0.1)},
     {"SGD's state": None, "AdamW's state": '30'}),
])  # yapf: disable
def test_what_changes_them(options, changed):
    expected = {**parts(described()[OF_GPU]), **changed}
    assert parts(described(**options)[OF_GPU]) == {
        part: size for part, size in expected.items() if size
    }  # yapf: disable


def test_what_is_frozen_has_no_gradient():
    sizes = parts(described(**{'model.backbone.frozen_stages': 3})[OF_GPU])
    assert sizes.pop('AGVM') == '0'
    assert sizes.pop('weights') == '15'
    assert len(set(sizes.values())) == 1
    assert float(sizes['gradients']) < 13


def test_one_process_has_no_ddp():
    assert 'DDP' not in described(gpus=1)[OF_GPU]


@pytest.mark.skipif(
    'fused' not in inspect.signature(torch.optim.SGD).parameters,
    reason="this torch's SGD cannot be fused")
def test_a_state_that_cannot_be_known_is_said():
    lines = described(**{'optim_wrapper.optimizer.fused': True})
    assert "; SGD's state, not known, on top" in lines[OF_GPU]


def test_what_cannot_be_known_is_said(monkeypatch):
    line = described(**{'train_dataloader.dataset.pipeline': []})
    assert 'of a size that cannot be read' in line[OF_MICRO_BATCH]
    monkeypatch.setattr(memory, '_kept', lambda *args: None)
    assert described()[OF_MICRO_BATCH].endswith(
        'what the model keeps of them comes on top')
    line = described(**{'model.backbone.type': 'Gone'})
    assert line[OF_GPU].startswith('not known, because the model is not built')
    assert len(line) == 1


def test_what_agvm_refuses_is_refused():
    with pytest.raises(ValueError, match=r"anchor='bakbone' is no module"):
        described(**{'optim_wrapper.agvm.anchor': 'bakbone'})


def test_mixed_precision_keeps_less():
    line = described(**{'optim_wrapper.type': 'AGVMAmpOptimWrapper'})
    assert '(less in mixed precision)' in line[OF_MICRO_BATCH]
    assert 'mixed' not in described()[OF_MICRO_BATCH]


@pytest.mark.parametrize('config', [FASTER, SEMANTIC])
def test_a_real_pass_keeps_as_much(config):
    """On real tensors, not on those of the meta device."""
    cfg = load_config(str(config))
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model).train()
    images = torch.rand(2, 3, 96, 96)
    kept = memory._kept(model, images)
    assert kept == memory._kept(
        build_on_meta(cfg).train(), torch.empty_like(images, device='meta'))
    assert kept > 0
    features = model.extract_feat(images)
    assert kept > sum(f.numel() * 4 for f in features)


def test_what_is_kept_is_counted_once():
    """By hand: two of three equal layers' inputs, and their product's."""

    class Model(nn.Module):

        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(*(
                nn.Linear(8, 8, bias=False) for _ in range(3)))

        def extract_feat(self, inputs):
            out = self.layers(inputs)
            return out * out  # keeps it twice, in one storage

    assert memory._kept(Model(), torch.rand(4, 8)) == 3 * 4 * 8 * 4


def test_a_state_after_a_real_step():
    cfg = load_config(str(FASTER))
    cfg.optim_wrapper.optimizer = dict(type='AdamW', lr=0.1)
    model = MODELS.build(cfg.model)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    assert memory._after_a_step(wrapper.optimizer) == memory._state(
        cfg, build_on_meta(cfg))
