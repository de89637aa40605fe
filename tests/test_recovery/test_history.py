"""The logged values that a run keeps, and saves."""
from types import SimpleNamespace

import numpy as np
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.runner import LogProcessor

from agvm_mm.compat.checkpoint import load
from agvm_mm.recovery.history import KEPT, bound_history
from tests.test_recovery.runs import train


class LongAgo(Hook):
    """As if so many updates had been logged before."""

    def __init__(self, number):
        self.number = number

    def before_train(self, runner):
        rng = np.random.default_rng(0)
        for value in rng.random(20):
            runner.message_hub.update_scalar('train/loss', value)
        buffer = runner.message_hub.log_scalars['train/loss']
        buffer._log_history = rng.random(self.number)
        buffer._count_history = np.ones(self.number)


class Smoothed(Hook):
    """What each log line says of the loss."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.values = []

    def after_train_iter(self, runner, batch_idx, *args, **kwargs):
        tag, _ = runner.log_processor.get_log_after_iter(
            runner, batch_idx, 'train')
        self.values.append([
            value for key, value in sorted(tag.items()) if 'loss' in key
        ])


def test_its_size_stops_growing(tmp_path):
    sizes = []
    for number in (0, 5000):
        folder = tmp_path / str(number)
        runner = train(folder, LongAgo(number))
        sizes.append((folder / 'epoch_3.pth').stat().st_size)
        for key, buffer in runner.message_hub.log_scalars.items():
            assert len(buffer.data[0]) <= KEPT, key
        # The process's own, too, and not as a part of what it was.
        assert buffer.data[0].nbytes <= 8 * KEPT
    # Bytes that are no ASCII are pickled as two.
    assert sizes[1] < sizes[0] + 2 * 1.5 * 8 * KEPT


PROCESSOR = dict(
    type='LogProcessor',
    window_size=1500,
    custom_cfg=[
        dict(
            data_src='loss',
            log_name='loss_global',
            method_name='mean',
            window_size='global'),
        dict(
            data_src='loss',
            log_name='loss_epoch',
            method_name='max',
            window_size='epoch'),
        dict(data_src='loss', log_name='loss_min', method_name='min'),
    ])


def test_smoothed_values_are_those_of_a_run_without_bounds(tmp_path):
    found = []
    for bounded in (True, False):
        folder = tmp_path / str(bounded)
        settings = dict(
            log_processor=PROCESSOR, recovery=dict(checkpoints=bounded))
        whole, resumed = Smoothed(), Smoothed()
        train(folder, LongAgo(3000), whole, **settings)
        # Cut off after the second epoch.
        train(
            folder,
            resumed,
            resume=True,
            load_from=str(folder / 'epoch_2.pth'),
            **settings)
        assert resumed.values == whole.values[-len(resumed.values):]
        found.append(whole.values)
    assert found[0] == found[1]
    scalars = load(tmp_path / 'True/epoch_3.pth')['message_hub']['log_scalars']
    # A value of all updates takes them all.
    assert len(scalars['train/loss'].data[0]) > 3000
    assert scalars['train/lr'].max_length == 4 * 1500  # micro-batches


def test_a_window_of_an_epoch_is_kept_whole(request):
    hub = MessageHub.get_instance(request.node.name)
    for _ in range(KEPT + 501):
        hub.update_scalar('train/loss', 1.0)
    window = dict(
        data_src='loss',
        log_name='loss_epoch',
        method_name='max',
        window_size='epoch')
    bound_history(
        SimpleNamespace(
            message_hub=hub,
            log_processor=LogProcessor(custom_cfg=[window]),
            train_loop=SimpleNamespace(dataloader=range(KEPT + 500))))
    assert len(hub.get_scalar('train/loss').data[0]) == KEPT + 500
