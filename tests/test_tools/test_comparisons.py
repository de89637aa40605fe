"""What is said of two runs beside each other."""
from reports import comparisons

TITLES = ('without', 'with')


def test_metrics():
    assert comparisons.metrics_apart('mIoU', TITLES, (37.3, 38.04)) == (
        'mIoU at the end: 38.04 in with, 37.3 in without (+0.74).')
    assert comparisons.metrics_apart('mIoU', TITLES, (None, 38.0)) is None


def test_speeds():
    assert comparisons.speeds_apart(
        TITLES,
        (200.0,
         199.0)) == ('Images a second: 199 in with, 200 in without (-0.5%).')
    assert comparisons.speeds_apart(TITLES, (200.0, None)) is None


def test_settings_that_differ():
    first = dict(work_dir='a', optim_wrapper=dict(optimizer=dict(lr=1)), x=[])
    second = dict(
        work_dir='b', optim_wrapper=dict(optimizer=dict(lr=2), agvm={}), x=[])
    assert comparisons.differences(first, second) == {
        'optim_wrapper.optimizer.lr': (1, 2),
        'optim_wrapper.agvm': (None, {})
    }
