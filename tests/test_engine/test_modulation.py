"""AGVM's state goes from one run to another by the modules' names."""
import pytest
import torch

from agvm_mm.engine import modulation
from agvm_mm.engine.modulation import Modulation
from agvm_mm.engine.options import checked_options


@pytest.fixture(name='warnings')
def _warnings(monkeypatch):
    messages = []
    monkeypatch.setattr(modulation, 'print_log',
                        lambda message, **kwargs: messages.append(message))
    return messages


def modulated(modules, measurements=0):
    found = Modulation(modules, checked_options({}), partly=True)
    values = torch.arange(1, len(modules) + 1, dtype=torch.float64)
    for _ in range(measurements):
        found.modulator.update(1 / values)
        found.noise_scale.update(4 * values, values / 2, 2, 8)
    found.skipped.count = measurements
    return found


def test_the_same_modules_take_everything_over(warnings):
    modules = ['backbone', 'neck', 'head']
    trained, fresh = modulated(modules, 3), modulated(modules)
    fresh.load_state_dict(trained.state_dict())
    assert fresh.modulator.lr_scale == trained.modulator.lr_scale
    assert fresh.noise_scale.values() == trained.noise_scale.values()
    assert fresh.skipped.count == 3
    assert not warnings


def test_modules_of_one_run_only_are_named(warnings):
    trained = modulated(['backbone', 'neck', 'head'], 3)
    fresh = modulated(['backbone', 'neck', 'rpn'])
    fresh.load_state_dict(trained.state_dict())
    assert fresh.modulator.lr_scale == {
        'backbone': 1.0,
        'neck': trained.modulator.lr_scale['neck'],
        'rpn': 1.0
    }
    warning, = warnings
    assert 'rpn start(s) at lr_scale 1' in warning
    assert 'state of head is dropped' in warning


def test_no_state_is_told(warnings):
    fresh = modulated(['backbone', 'neck'])
    fresh.load_state_dict(None)
    assert fresh.modulator.lr_scale == {'backbone': 1.0, 'neck': 1.0}
    assert 'holds no state of AGVM' in warnings[0]
