"""AGVM's state goes from one run to another by the modules' names."""
import pytest
import torch

from agvm_mm.algorithm.modulator import Modulator
from agvm_mm.algorithm.variance import NoiseScale
from agvm_mm.engine import state
from agvm_mm.engine.skipped import SkippedMeasurements
from agvm_mm.engine.state import agvm_state, load_agvm_state


@pytest.fixture(name='warnings')
def _warnings(monkeypatch):
    messages = []
    monkeypatch.setattr(state, 'print_log',
                        lambda message, **kwargs: messages.append(message))
    return messages


def parts(modules, measurements=0):
    modulator = Modulator(
        modules, anchor='backbone', momentum=0.9, ratio_range=(0.5, 10.0))
    noise_scale = NoiseScale(modules, momentum=0.9)
    values = torch.arange(1, len(modules) + 1, dtype=torch.float64)
    for _ in range(measurements):
        modulator.update(1 / values)
        noise_scale.update(4 * values, values / 2, 2, 8)
    return modulator, noise_scale, SkippedMeasurements()


def test_the_same_modules_take_everything_over(warnings):
    modules = ['backbone', 'neck', 'head']
    trained, fresh = parts(modules, 3), parts(modules)
    trained[2].record('it rains')
    load_agvm_state(agvm_state(*trained), *fresh)
    assert fresh[0].lr_scale == trained[0].lr_scale
    assert fresh[1].values() == trained[1].values()
    assert fresh[2].count == 1
    assert not warnings


def test_modules_of_one_run_only_are_named(warnings):
    trained = parts(['backbone', 'neck', 'head'], 3)
    fresh = parts(['backbone', 'neck', 'rpn'])
    load_agvm_state(agvm_state(*trained), *fresh)
    assert fresh[0].lr_scale == {
        'backbone': 1.0,
        'neck': trained[0].lr_scale['neck'],
        'rpn': 1.0
    }
    warning, = warnings
    assert 'rpn start(s) at lr_scale 1' in warning
    assert 'state of head is dropped' in warning


def test_no_state_is_told(warnings):
    fresh = parts(['backbone', 'neck'])
    load_agvm_state(None, *fresh)
    assert fresh[0].lr_scale == {'backbone': 1.0, 'neck': 1.0}
    assert 'holds no state of AGVM' in warnings[0]
