"""What a run keeps in memory beside its model and its optimizer."""
import pytest
from mmengine.config import Config

from agvm_mm.large_batch.probe.rehearsal import Rehearsal
from tests.toy import ToyDetector

AVERAGES = dict(type='EMAHook')


@pytest.mark.parametrize(('hooks', 'averages'), [
    (dict(), 0),
    (dict(custom_hooks=[AVERAGES]), 1),
    (dict(default_hooks=dict(average=AVERAGES, timer=None)), 1),
])
def test_an_averaged_model_wherever_its_hook_stands(hooks, averages):
    model = ToyDetector()
    cfg = Config(dict(optim_wrapper=dict(optimizer=dict(type='SGD')), **hooks))
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    assert Rehearsal(cfg, 1, 'cpu')._beside(model) == averages * size
