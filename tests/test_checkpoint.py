import os
import pickle

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import load_checkpoint

import agvm_mm  # noqa: F401

pytestmark = pytest.mark.skipif(
    not hasattr(torch.serialization, 'add_safe_globals'),
    reason='this torch has no safe loader')


class Crafted:
    """Pickles as a call of whatever it is given."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def test_mmengines_logs_load(tmp_path):
    hub = MessageHub.get_instance('checkpoint')
    for value in (1.0, 2.0, 4.0):
        hub.update_scalar('train/loss', value)
    hub.update_scalar('train/np', np.float64(3))
    torch.save(dict(message_hub=hub.state_dict()), tmp_path / 'a.pth')
    loaded = torch.load(tmp_path / 'a.pth', weights_only=True)
    buffer = loaded['message_hub']['log_scalars']['train/loss']
    assert isinstance(buffer, HistoryBuffer)
    assert buffer.mean() == pytest.approx(7 / 3)
    assert (buffer.current(), buffer.min(), buffer.max()) == (4, 1, 4)


@pytest.mark.parametrize(
    'attack', [
        Crafted(os.system, 'touch {}'),
        Crafted(getattr, MessageHub, 'get_instance'),
        Crafted(getattr, HistoryBuffer, '__init__'),
        Crafted(getattr, HistoryBuffer, 'statistics'),
        Crafted(getattr, np.ndarray, 'tofile'),
        Crafted(eval, '1'),
        Crafted(np.load, 'x.npy'),
    ],
    ids=lambda attack: '-'.join(map(str, attack.call[1])))
def test_anything_else_is_refused(tmp_path, attack):
    path = tmp_path / 'crafted.pth'
    canary = tmp_path / 'canary'
    function, args = attack.call
    if function is os.system:
        attack.call = function, (args[0].format(canary), )
    torch.save(dict(state_dict={}, payload=attack), path)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    with pytest.raises(pickle.UnpicklingError):
        load_checkpoint(torch.nn.Linear(1, 1), str(path))
    assert not canary.exists()
