import pytest

from agvm_mm.datasets import write_digits


def pytest_collection_modifyitems(items):
    """Fast tests first: those that start trainings come last."""
    items.sort(key=lambda item: 'test_tools' in item.nodeid)


@pytest.fixture(scope='session', name='digits')
def _digits(tmp_path_factory):
    """A tiny Digits data set, as configs name a data_root: with a slash."""
    root = write_digits(
        tmp_path_factory.mktemp('data') / 'digits',
        num_train=16,
        num_val=4,
        size=64)
    return f'{root}/'
