"""What a measurement writes into a run's log."""
from mmengine.logging import MessageHub

from agvm_mm.engine.logs import log_measurement
from tests.toy import ToyDetector, build_wrapper, train


def logged(request, name):
    hub = MessageHub.get_instance(request.node.name)
    log_measurement(
        hub, name, dict(num_replicas=4, skipped=0),
        dict(
            variance=dict(backbone=0.5, neck=float('nan')),
            lr_scale=dict(backbone=1.0, neck=1.5)))
    return {
        name: buffer.current()
        for name, buffer in hub.log_scalars.items()
    }


def test_a_measurement_is_logged_by_module(request):
    assert logged(request, None) == {
        'train/agvm/variance/backbone': 0.5,
        'train/agvm/lr_scale/backbone': 1.0,
        'train/agvm/lr_scale/neck': 1.5,
        'train/agvm/num_replicas': 4,
        'train/agvm/skipped': 0,
    }


def test_one_of_several_wrappers_logs_under_a_name_of_its_own(request):
    assert logged(request, 'generator') == {
        'train/agvm/variance/generator.backbone': 0.5,
        'train/agvm/lr_scale/generator.backbone': 1.0,
        'train/agvm/lr_scale/generator.neck': 1.5,
        'train/agvm/num_replicas/generator': 4,
        'train/agvm/skipped/generator': 0,
    }


def test_an_end_before_the_begin_logs_nothing():
    model = ToyDetector().double()
    wrapper = build_wrapper(model, 'sgd', 2, begin=5, end=3, interval=1)
    train(model, wrapper, 2, range(5))
    assert not [k for k in wrapper.message_hub.log_scalars if 'agvm' in k]
